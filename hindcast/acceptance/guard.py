"""What keeps production mode from writing: every client refuses before a byte is sent, whatever the keys allow."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import httpx

from hindcast.errors import AccessRefused
from hindcast.objects.content import Content
from hindcast.objects.keys import check_team
from hindcast.objects.store import Head, ObjectStore
from hindcast.objects.teams import ROOT
from hindcast.storage import StoredObject

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

READING_OPERATIONS: Final = frozenset({"HeadObject", "GetObject", "ListObjectsV2"})
_READING_VERBS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class WriteRefused(AccessRefused):
    """Production mode is read-only: nothing was sent."""


class Pacer:
    """Keeps requests apart by so many seconds."""

    def __init__(self, delay_seconds: float, sleep: Callable[[float], None] = time.sleep) -> None:
        self._delay_seconds, self._sleep = delay_seconds, sleep
        self._next_at = 0.0
        self.requests = 0

    def wait(self) -> None:
        """Return when the next request may be sent."""
        pause = self._next_at - time.monotonic()
        if pause > 0:
            self._sleep(pause)
        self._next_at = time.monotonic() + self._delay_seconds
        self.requests += 1


def make_reading_client(query_url: str, pacer: Pacer, timeout_seconds: float = 30) -> httpx.Client:
    """An HTTP client that sends reads, and queries to one URL, and nothing else; raises WriteRefused."""

    def guard(request: httpx.Request) -> None:
        refuse_writes(request, query_url)
        pacer.wait()

    return httpx.Client(event_hooks={"request": [guard]}, timeout=timeout_seconds, follow_redirects=False)


def refuse_writes(request: httpx.Request, query_url: str) -> None:
    """Raise WriteRefused unless a request is a read, or a single SELECT sent to the query URL."""
    if request.method in _READING_VERBS:
        return
    if request.method == "POST" and request.url == httpx.URL(query_url) and _is_select(request.content):
        return
    raise WriteRefused(f"{request.method} {request.url.path}: production mode only reads; nothing was sent")


def refuse_writing_operations(client: "S3Client") -> "S3Client":
    """Let a client of S3 do nothing but head, get and list; anything else is a WriteRefused before it is signed."""

    def guard(model: Any, **_: Any) -> None:
        refuse_operation(model.name)

    client.meta.events.register_first("before-call.s3", guard)
    return client


def refuse_operation(name: str) -> None:
    """Raise WriteRefused unless an operation of S3 is a read."""
    if name not in READING_OPERATIONS:
        raise WriteRefused(f"S3 {name}: production mode only reads; nothing was sent")


class ReadOnlyStore:
    """One team's prefix of a store: paced, no download over a limit, no writing."""

    def __init__(self, store: ObjectStore, team: str, pacer: Pacer, largest_download: int) -> None:
        check_team(team)
        self._store, self._pacer = store, pacer
        self._prefix = f"{ROOT}/{team}/"
        self.bucket, self.largest_download = store.bucket, largest_download

    def head(self, key: str) -> Head:
        self._require_own(key)
        self._pacer.wait()
        return self._store.head(key)

    def stream(self, key: str, first: int = 0, last: int | None = None) -> Iterator[bytes]:
        self._require_own(key)
        end = self.head(key).size - 1 if last is None else last
        if end - first + 1 > self.largest_download:
            raise AccessRefused(
                f"object {key}: {end - first + 1:,} bytes asked, production mode downloads at most"
                f" {self.largest_download:,}"
            )
        self._pacer.wait()
        return self._store.stream(key, first, end)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        self._require_own(prefix)
        self._pacer.wait()
        return self._store.list(prefix)

    def put(self, key: str, content: Content, content_type: str, metadata: dict[str, str]) -> bool:
        raise WriteRefused(f"object {key}: production mode only reads; nothing was put")

    def delete(self, key: str) -> None:
        raise WriteRefused(f"object {key}: production mode only reads; nothing was deleted")

    def discard_unfinished(self, before: datetime) -> int:
        raise WriteRefused("uploads: production mode only reads; nothing was deleted")

    def _require_own(self, key: str) -> None:
        if not key.startswith(self._prefix):
            raise AccessRefused(f"{key[:100]!a}: outside of {self._prefix}")


def _is_select(content: bytes) -> bool:
    try:
        query = json.loads(content)["query"]
        text = str(query["query"]).strip()
    except (ValueError, KeyError, TypeError):
        return False
    return query.get("kind") == "HogQLQuery" and text.upper().startswith("SELECT ") and ";" not in text
