"""The event: our canonical row, its identity and its content digest."""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import msgspec

from hindcast.canonical import encode_value
from hindcast.times import to_microseconds

# Part of the contract: another version makes other ids, so re-imports would no longer meet their rows.
IDENTITY_VERSION: Final = 1

CONTENT_FIELDS: Final = (
    "source",
    "tenant",
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
_VERSION_AND_VARIANT: Final = 0x8000_8000_0000_0000_0000


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
    own_id = event.source_event_id
    content = (
        microseconds,
        source,
        event.tenant,
        event.event_type,
        event.user_id,
        event.anonymous_id,
        event.session_id,
        event.course_id,
        event.lesson_id,
        event.module_id,
        event.user_agent,
        own_id,
        msgspec.Raw(payload),
    )
    digest = sha256(encode_value(content)).digest()
    if own_id is None:
        event_id = _make_event_id(microseconds, digest)
        return Identified(event_id, event_id, digest[:16], microseconds, payload)
    seed, identity = derive_own_identity(microseconds, source, event.tenant, own_id)
    return Identified(_make_event_id(microseconds, seed), identity[:16], digest[:16], microseconds, payload)


def derive_own_identity(microseconds: int, source: str, tenant: str, own_id: str) -> tuple[bytes, bytes]:
    """Of an event with the source's own id: the hash its event id is made of, and that of its identity (32 bytes)."""
    identity = sha256(encode_value((source, tenant, own_id))).digest()
    return sha256(b"%d:%s" % (microseconds, identity)).digest(), identity


def hash_fields(microseconds: int, fields: Sequence[str | None], payload: bytes) -> bytes:
    """The content hash (16 bytes) of a row: values in the order of CONTENT_FIELDS, the payload canonical."""
    return sha256(encode_value((microseconds, *fields, msgspec.Raw(payload)))).digest()[:16]


def format_id(event_id: bytes) -> str:
    """Write 16 bytes as a UUID."""
    return str(UUID(bytes=event_id))


def _make_event_id(microseconds: int, digest: bytes) -> bytes:
    drawn = int.from_bytes(digest[16:26])
    milliseconds = microseconds // 1000 & 0xFFFF_FFFF_FFFF
    # 12 bits of hash beside the version, 62 beside the variant
    low = (drawn & 0x3FF_C000_0000_0000_0000) << 2 | drawn & 0x3FFF_FFFF_FFFF_FFFF
    return (milliseconds << 80 | _VERSION_AND_VARIANT | low).to_bytes(16)
