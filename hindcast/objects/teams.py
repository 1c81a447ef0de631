"""Teams: whose objects are whose, and a reader that can see one team's and no other's."""

import hashlib
from collections.abc import Iterator
from typing import Final

from hindcast.errors import AccessRefused
from hindcast.objects.keys import ObjectUrl, check_key, check_prefix, check_team, parse_url
from hindcast.objects.multipart import Part, parse_part
from hindcast.objects.store import Head, ObjectStore
from hindcast.storage import StoredObject

ROOT: Final = "llma"


def team_of(token: str) -> str:
    """The team of a project token: the first 16 hex digits of its SHA-256."""
    return hashlib.sha256(token.encode()).hexdigest()[:16]


def key_of(team: str, event_uuid: str) -> str:
    """The key of the object of one event."""
    check_team(team)
    key = f"{ROOT}/{team}/{event_uuid}"
    check_key(key)
    return key


class TeamReader:
    """Reads what belongs to one team, by key or URL. Anything else is an AccessRefused, asked before the store is.

    It has no way to write. References are taken as they are: nothing is decoded, so nothing can be encoded past it.
    """

    def __init__(self, store: ObjectStore, team: str) -> None:
        check_team(team)
        self._store = store
        self.prefix = f"{ROOT}/{team}/"

    def head(self, reference: str) -> Head:
        """Size, content type and metadata of an object."""
        return self._store.head(self._resolve(reference).key)

    def stream(self, reference: str) -> Iterator[bytes]:
        """The bytes of a URL's range, or of a whole object, in blocks."""
        url = self._resolve(reference)
        return self._store.stream(url.key, url.first or 0, url.last)

    def read(self, reference: str) -> bytes:
        """The bytes of a URL's range, or of a whole object."""
        return b"".join(self.stream(reference))

    def read_part(self, reference: str) -> Part:
        """The value at a URL with a range, with its headers; raises ObjectError when the range is no part."""
        return parse_part(self.read(reference))

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """The team's objects; `prefix` is a key's beginning, at least the team's own."""
        prefix = prefix or self.prefix
        check_prefix(prefix)
        self._require_own(prefix)
        return self._store.list(prefix)

    def _resolve(self, reference: str) -> ObjectUrl:
        url = parse_url(reference) if ":" in reference else ObjectUrl(self._store.bucket, reference)
        if url.bucket != self._store.bucket:
            raise AccessRefused(f"bucket {url.bucket}: this reader sees {self._store.bucket} only")
        check_key(url.key)
        self._require_own(url.key)
        return url

    def _require_own(self, key: str) -> None:
        if not key.startswith(self.prefix):
            raise AccessRefused(f"{key[:100]!a}: outside of {self.prefix}")
