"""The event: our canonical row, its identity and its content digest."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final
from uuid import UUID

import msgspec

from hindcast.canonical import encode_value
from hindcast.times import to_microseconds

# Part of the contract: another version makes other ids, so re-imports would no longer meet their rows.
IDENTITY_VERSION: Final = 1

CONTENT_FIELDS: Final = (
    "event_type",
    "user_id",
    "anonymous_id",
    "session_id",
    "course_id",
    "lesson_id",
    "module_id",
    "user_agent",
    "source_event_id",
)
_EVENT_ID_TAG: Final = b"hindcast-event-1"
_IDENTITY_TAG: Final = b"hindcast-claim-1"
_CONTENT_TAG: Final = b"hindcast-body-1"


class Event(msgspec.Struct, gc=False):
    """One canonical row. `occurred_at` is the column `created_at`; `payload` is a decoded JSON object or array."""

    occurred_at: datetime
    event_type: str
    user_id: str | None = None
    anonymous_id: str | None = None
    session_id: str | None = None
    course_id: str | None = None
    lesson_id: str | None = None
    module_id: str | None = None
    user_agent: str | None = None
    source_event_id: str | None = None
    payload: Any = msgspec.field(default_factory=dict)
    tenant: str = ""
    is_naive: bool = False
    is_sanitised: bool = False


class Skipped(msgspec.Struct):
    """A record that a format's own rule leaves out; never an error."""

    reason: str


class Identified(msgspec.Struct, gc=False):
    """What is derived from an event: ids are 16 bytes each, the payload is canonical JSON text."""

    event_id: bytes
    identity: bytes
    content_hash: bytes
    microseconds: int
    payload: bytes


def identify(event: Event, source: str) -> Identified:
    """Derive an event's id, its identity within an export, and the digest of all its content.

    `event_id` is a UUIDv8: 48 bits of milliseconds, then 74 bits of hash. `identity` is the same for records that
    claim to be the same event: those with the source's own id, whatever their time; else those with the same event_id.
    """
    microseconds = to_microseconds(event.occurred_at)
    payload = encode_value(event.payload)
    content_hash = hash_content(event, microseconds, payload)
    owner = _owner(source, event.tenant)
    own_id = event.source_event_id
    if own_id is None:
        event_id = _make_event_id(microseconds, owner + content_hash)
        return Identified(event_id, event_id, content_hash, microseconds, payload)
    claim = own_id.encode()
    event_id = _make_event_id(microseconds, b"%s%d:%s" % (owner, microseconds, claim))
    identity = blake2b(owner + claim, digest_size=16, person=_IDENTITY_TAG).digest()
    return Identified(event_id, identity, content_hash, microseconds, payload)


def hash_content(event: Event, microseconds: int, payload: bytes) -> bytes:
    """Digest (16 bytes) of everything an event says: its time, its fields, its canonical payload."""
    fields = (
        microseconds,
        event.event_type,
        event.user_id,
        event.anonymous_id,
        event.session_id,
        event.course_id,
        event.lesson_id,
        event.module_id,
        event.user_agent,
        event.source_event_id,
        msgspec.Raw(payload),
    )
    return blake2b(encode_value(fields), digest_size=16, person=_CONTENT_TAG).digest()


def hash_fields(microseconds: int, fields: Sequence[str | None], payload: bytes) -> bytes:
    """The same digest from values in the order of CONTENT_FIELDS and a canonical payload."""
    content = encode_value((microseconds, *fields, msgspec.Raw(payload)))
    return blake2b(content, digest_size=16, person=_CONTENT_TAG).digest()


def format_id(event_id: bytes) -> str:
    """Write 16 bytes as a UUID."""
    return str(UUID(bytes=event_id))


@lru_cache(maxsize=1024)
def _owner(source: str, tenant: str) -> bytes:
    return encode_value((source, tenant))


def _make_event_id(microseconds: int, claim: bytes) -> bytes:
    drawn = int.from_bytes(blake2b(claim, digest_size=10, person=_EVENT_ID_TAG).digest())
    milliseconds = microseconds // 1000 & 0xFFFF_FFFF_FFFF
    upper = drawn >> 62 & 0xFFF
    lower = drawn & 0x3FFF_FFFF_FFFF_FFFF
    return (milliseconds << 80 | 0x8000 << 64 | upper << 64 | 0b10 << 62 | lower).to_bytes(16)
