"""What the tests of objects do again and again."""

from hindcast.objects.content import Content
from hindcast.objects.s3 import Patience
from hindcast.objects.store import ObjectStore

QUICK = Patience(attempts=4, longest_pause_seconds=0.05, connect_timeout_seconds=5, read_timeout_seconds=1)


def put(store: ObjectStore, key: str, data: bytes) -> bool:
    """Put some bytes from memory."""
    return store.put(key, Content([data]), "text/plain", {})
