"""`analytics_history`: JSON lines from a learning platform's history runbook.

Times are UTC, also where no zone is written. Identity: the record's own id (and its time) where it has one, else its
time and content. Personal values in the payload (keys email, name, phone) are hashed, as the platform's live path does.
Field rules: docs/formats/analytics_history.md.
"""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec

from hindcast.canonical import check_depth, encode_value, mark_unstorable, read_number
from hindcast.errors import RecordError
from hindcast.event import Event, Skipped
from hindcast.formats.base import Context, Option, PlainNames, decode_or_fault
from hindcast.formats.personal import holds_personal, redact, scrub
from hindcast.formats.reading import (
    LONGEST_NAME,
    check_lengths,
    is_unusual,
    name_type,
    read_object,
    read_objects,
    to_text,
)
from hindcast.times import EPOCH, check_range, format_utc, parse_time

NAME: Final = "analytics_history"
OPTIONS: Final = {
    "scrub_pii": Option(True, "replace the values of payload keys email, name and phone by a hash"),
}
# A record's spellings of each field; the first that is present wins.
TYPE_NAMES: Final = ("event_type", "eventType", "type")
TIME_NAMES: Final = (
    "occurred_at", "occurredAt", "created_at", "createdAt", "timestamp", "time",
)  # fmt: skip
OWN_ID_NAMES: Final = ("event_id", "eventId", "client_event_id", "clientEventId", "id")
PAYLOAD_NAMES: Final = ("payload", "metadata", "meta", "data")
TEXT_NAMES: Final = {
    "user_id": ("user_id", "userId"),
    "anonymous_id": ("anonymous_id", "anonymousId"),
    "session_id": ("session_id", "sessionId"),
    "course_id": ("course_id", "courseId"),
    "lesson_id": ("lesson_id", "lessonId"),
    "module_id": ("module_id", "moduleId"),
    "user_agent": ("user_agent", "userAgent"),
}
_SPELLINGS: Final = {
    "event_type": TYPE_NAMES, "time": TIME_NAMES, "event_id": OWN_ID_NAMES, "payload": PAYLOAD_NAMES,
} | TEXT_NAMES  # fmt: skip
# The field that a name gives, and how many spellings go before it.
_PLACES: Final = {name: (field, rank) for field, names in _SPELLINGS.items() for rank, name in enumerate(names)}
KNOWN_NAMES: Final = frozenset(_PLACES)

PLAIN: Final = PlainNames(
    TIME_NAMES, PAYLOAD_NAMES, {"event_type": TYPE_NAMES, "source_event_id": OWN_ID_NAMES} | TEXT_NAMES, "scrub_pii"
)

__all__ = ["NAME", "OPTIONS", "PLAIN", "decode", "decode_batch", "detect", "encode", "redact"]

_Name = Annotated[str, msgspec.Meta(max_length=LONGEST_NAME)]


_NOT_IN_A_RECORD: Final = ("tenant", "is_naive", "is_sanitised")
_UNGUESSABLE: Final = secrets.token_hex(16)


class _Plain(
    Event,
    forbid_unknown_fields=True,
    gc=False,
    # Only fields declared here are renamed. The last three are no properties of a record, so none may set them.
    rename={"source_event_id": "event_id"} | {name: f"{name} {_UNGUESSABLE}" for name in _NOT_IN_A_RECORD},
):
    """A record in the commonest spelling; any other takes the general way, with the same result."""

    occurred_at: Annotated[datetime, msgspec.Meta(tz=True)]
    event_type: _Name
    course_id: _Name | None = None
    lesson_id: _Name | None = None
    payload: dict[str, Any] = msgspec.field(default_factory=dict)
    source_event_id: str | None = None
    tenant: str = ""
    is_naive: bool = False
    is_sanitised: bool = False


_decode_plain = msgspec.json.Decoder(_Plain, float_hook=read_number).decode


def detect(records: list[bytes]) -> str | None:
    """Evidence: most records carry an event type and a time, and learning-platform fields or nothing foreign."""
    own = 0
    for fields in read_objects(records):
        if not KNOWN_NAMES.intersection(fields):
            continue
        timed = any(name in fields for name in TIME_NAMES)
        typed = any(name in fields for name in TYPE_NAMES)
        foreign = {"metrics", "source", "esp", "event_properties", "distinct_id", "uuid"}.intersection(fields)
        own += timed and typed and not foreign
    if own * 2 > len(records) or (own and own == len(records)):
        return f"{own} of the first {len(records)} records have an event type and a time in this format's spellings"
    return None


def decode(raw: bytes, context: Context) -> Event | Skipped:
    """Read one record; raises RecordError with the rule it breaks."""
    check_depth(raw)
    raw, is_sanitised = mark_unstorable(raw)
    event = _read_event(raw, context)
    check_range(event.occurred_at, context.latest)
    check_lengths(event)
    if context.options.get("scrub_pii", True) and holds_personal(event.payload):
        event.payload = scrub(event.payload, context)
    event.tenant = context.tenant
    event.is_sanitised = is_sanitised
    return event


def decode_batch(raws: Sequence[bytes], context: Context) -> list[Event | Skipped | RecordError]:
    """The outcomes of `decode` for some records; the hot path of every import."""
    outcomes: list[Event | Skipped | RecordError] = []
    is_scrubbing, latest, tenant = context.options.get("scrub_pii", True), context.latest, context.tenant
    for raw in raws:
        event = None if is_unusual(raw) else _decode_fast(raw)
        if event is None or not EPOCH <= event.occurred_at <= latest:
            outcomes.append(decode_or_fault(decode, raw, context))
            continue
        if is_scrubbing and holds_personal(event.payload):
            event.payload = scrub(event.payload, context)
        if tenant:
            event.tenant = tenant
        outcomes.append(event)
    return outcomes


def encode(event: Event) -> bytes:
    """Write an event as a record that decodes to the same event."""
    fields: dict[str, Any] = {"event_type": event.event_type, "occurred_at": format_utc(event.occurred_at)}
    if event.source_event_id is not None:
        fields["event_id"] = event.source_event_id
    for name in TEXT_NAMES:
        if getattr(event, name) is not None:
            fields[name] = getattr(event, name)
    fields["payload"] = event.payload
    return encode_value(fields)


def _decode_fast(raw: bytes) -> Event | None:
    try:
        event = _decode_plain(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, RecordError):
        return None
    return event if event.occurred_at.tzinfo is UTC and not event.event_type.isspace() else None


def _read_event(raw: bytes, context: Context) -> Event:
    fields = read_object(raw)
    values, unknown = _sort_out(fields)
    event_type = values.get("event_type")
    if event_type is None or (isinstance(event_type, str) and not event_type.strip()):
        raise RecordError("missing_event_type", f"no event type: expected one of {', '.join(TYPE_NAMES)}")
    if not isinstance(event_type, str):
        raise RecordError("invalid_type", f"event type is {name_type(event_type)}: expected a string")
    time = values.get("time")
    if time is None or time == "":
        raise RecordError("missing_time", f"no time: expected one of {', '.join(TIME_NAMES)}")
    moment, is_naive = parse_time(time)
    own_id = to_text("event_id", values.get("event_id"))
    payload = values.get("payload")
    if payload is None:
        payload = {}
    elif not isinstance(payload, dict | list):
        payload = {"value": payload}
    for name in unknown:
        context.count_unknown(name)
    _count_remarkable(fields, moment, context)
    event = Event(moment, event_type, source_event_id=own_id, payload=payload, is_naive=is_naive)
    for name in TEXT_NAMES:
        if (value := values.get(name)) is not None:
            setattr(event, name, to_text(name, value))
    return event


def _sort_out(fields: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The values of known names by field, of its spellings the first that is present; and the names not known."""
    values: dict[str, Any] = {}
    ranks: dict[str, int] = {}
    unknown = []
    for name, value in fields.items():
        place = _PLACES.get(name)
        if place is None:
            unknown.append(name)
        elif value is not None:
            field, rank = place
            if rank < ranks.get(field, rank + 1):
                values[field], ranks[field] = value, rank
    return values, unknown


def _count_remarkable(fields: dict[str, Any], moment: datetime, context: Context) -> None:
    occurred, created = (
        fields.get(snake) or fields.get(camel)
        for snake, camel in (("occurred_at", "occurredAt"), ("created_at", "createdAt"))
    )
    if occurred is None or created is None or occurred == created:
        return
    try:
        differs = parse_time(created)[0] != moment
    except RecordError:
        differs = True
    context.notes["times_differ"] += differs
