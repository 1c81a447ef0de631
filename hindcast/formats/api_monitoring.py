"""`api_monitoring`: PulseStream's events, JSON lines or one JSON array.

Times are UTC, also where no zone is written. Identity: `event_id` (`evt_<n>_<12 hex>`) and its time. Who called
(`user_id`, `session_id`, `user_agent` of `context`) goes to columns; every other field stays in the payload under its
own name. Field rules: docs/formats/api_monitoring.md.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec

from hindcast.canonical import check_depth, encode_value, mark_unstorable, read_number
from hindcast.errors import RecordError
from hindcast.event import Event, Skipped
from hindcast.formats.base import Context, Option, decode_or_fault
from hindcast.formats.personal import redact
from hindcast.formats.reading import check_length, is_unusual, name_type, read_object, read_objects, to_text
from hindcast.times import FUTURE_TOLERANCE, check_range, format_utc, parse_time

NAME: Final = "api_monitoring"
OPTIONS: Final[dict[str, Option]] = {}
EVENT_TYPES: Final = frozenset({"api_call", "user_action", "system_event", "error_event", "custom_event"})
SEVERITIES: Final = frozenset({"info", "warning", "error", "critical"})
OBJECT_NAMES: Final = ("source", "metrics", "context", "payload", "error_details")
KNOWN_NAMES: Final = frozenset({"event_id", "event_type", "timestamp", "title", "message", "severity", *OBJECT_NAMES})
CALLER_NAMES: Final = ("user_id", "session_id", "user_agent")  # of `context`, columns of ours
PLACE_NAMES: Final = ("service", "endpoint", "environment")  # of `source`, keys of the health rollup
LONGEST_TITLE: Final = 200
LONGEST_MESSAGE: Final = 2_000
LONGEST_NAME: Final = 256
AHEAD: Final = timedelta(minutes=5)  # what the source's own ingestion accepts of a clock that is fast
FIRST_ERROR: Final = 400
# `Context.latest` is what any format accepts; this source accepts less.
_LESS_AHEAD: Final = FUTURE_TOLERANCE - AHEAD

__all__ = ["NAME", "OPTIONS", "decode", "decode_batch", "detect", "encode", "redact"]


class _Usual(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A record as the source writes it; any other takes the general way, with the same result."""

    event_id: str
    event_type: str
    timestamp: Annotated[datetime, msgspec.Meta(tz=True)]
    title: str
    message: str
    severity: str
    source: dict[str, Any]
    metrics: dict[str, Any]
    context: dict[str, Any]
    payload: dict[str, Any]
    error_details: dict[str, Any] | None = None


_decode_usual = msgspec.json.Decoder(_Usual, float_hook=read_number).decode


def detect(records: list[bytes]) -> str | None:
    """Evidence: most records have an id, a type, a time, and two or more of the objects source, metrics, context."""
    own = 0
    for fields in read_objects(records):
        objects = [name for name in ("source", "metrics", "context") if isinstance(fields.get(name), dict)]
        own += {"event_id", "event_type", "timestamp"} <= fields.keys() and len(objects) > 1
    if own * 2 > len(records) or (own and own == len(records)):
        return (
            f"{own} of the first {len(records)} records have objects source, metrics and context, as PulseStream writes"
        )
    return None


def decode(raw: bytes, context: Context) -> Event | Skipped:
    """Read one record; raises RecordError with the rule it breaks."""
    check_depth(raw)
    raw, is_sanitised = mark_unstorable(raw)
    fields = read_object(raw)
    own_id = to_text("event_id", fields.get("event_id"))
    if own_id is None:
        raise RecordError("missing_event_id", "no event_id: expected one like evt_1_0123456789ab")
    time = fields.get("timestamp")
    if time is None or time == "":
        raise RecordError("missing_time", "no time: expected a timestamp")
    moment, is_naive = parse_time(time)
    event = Event(moment, _read_type(fields), source_event_id=own_id, is_naive=is_naive, is_sanitised=is_sanitised)
    rest = {
        name: value
        for name, value in fields.items()
        if value is not None and name not in ("event_id", "event_type", "timestamp")
    }
    for name in OBJECT_NAMES:
        _require(rest, name, dict, "an object")
    _fill(event, rest, context)
    for name in fields.keys() - KNOWN_NAMES:
        context.count_unknown(name)
    return event


def decode_batch(raws: Sequence[bytes], context: Context) -> list[Event | Skipped | RecordError]:
    """The outcomes of `decode` for some records; the hot path of every import."""
    outcomes: list[Event | Skipped | RecordError] = []
    for raw in raws:
        event = None if is_unusual(raw) else _decode_fast(raw, context)
        outcomes.append(decode_or_fault(decode, raw, context) if event is None else event)
    return outcomes


def encode(event: Event) -> bytes:
    """Write an event as a record that decodes to the same event."""
    fields = {
        "event_id": event.source_event_id,
        "event_type": event.event_type,
        "timestamp": format_utc(event.occurred_at),
        **event.payload,
    }
    caller = {name: getattr(event, name) for name in CALLER_NAMES if getattr(event, name) is not None}
    if caller:
        fields["context"] = {**fields.get("context", {}), **caller}
    return encode_value(fields)


def _decode_fast(raw: bytes, context: Context) -> Event | None:
    try:
        usual = _decode_usual(raw)
        if usual.timestamp.tzinfo is not UTC or usual.event_type not in EVENT_TYPES:
            return None
        rest = {
            "title": usual.title,
            "message": usual.message,
            "severity": usual.severity,
            "source": usual.source,
            "metrics": usual.metrics,
            "context": usual.context,
            "payload": usual.payload,
        }
        if usual.error_details is not None:
            rest["error_details"] = usual.error_details
        event = Event(usual.timestamp, usual.event_type, source_event_id=usual.event_id)
        _fill(event, rest, context)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, RecordError):
        return None
    return event


def _fill(event: Event, rest: dict[str, Any], context: Context) -> None:
    """Check the fields beside id, type and time, and move them into the event; counts only when nothing is wrong."""
    check_range(event.occurred_at, context.latest - _LESS_AHEAD)
    _check_words(rest)
    status = _check_metrics(rest.get("metrics", {}))
    source = rest.get("source", {})
    for name in PLACE_NAMES:
        _require(source, name, str, "a string", "source.")
    caller = rest.get("context")
    if caller is not None:
        event.user_id = _take_text(caller, "user_id")
        event.session_id = _take_text(caller, "session_id")
        event.user_agent = _take_text(caller, "user_agent")
        if not caller:
            del rest["context"]
    event.payload = rest
    event.tenant = context.tenant
    if status is not None and (status >= FIRST_ERROR) != ("error_details" in rest):
        note = "errors_without_details" if status >= FIRST_ERROR else "details_without_error"
        context.notes[note] += 1


def _read_type(fields: dict[str, Any]) -> str:
    event_type = fields.get("event_type")
    if event_type is None or (isinstance(event_type, str) and not event_type.strip()):
        raise RecordError("missing_event_type", f"no event_type: expected one of {', '.join(sorted(EVENT_TYPES))}")
    _require(fields, "event_type", str, "a string")
    if event_type not in EVENT_TYPES:
        expected = ", ".join(sorted(EVENT_TYPES))
        raise RecordError("unknown_event_type", f"event_type {event_type[:60]!r}: expected one of {expected}")
    return str(event_type)


def _check_words(rest: dict[str, Any]) -> None:
    for name, longest in (("title", LONGEST_TITLE), ("message", LONGEST_MESSAGE)):
        _require(rest, name, str, "a string")
        check_length(name, rest.get(name), longest)
    severity = rest.get("severity")
    if severity is not None and (type(severity) is not str or severity not in SEVERITIES):
        _require(rest, "severity", str, "a string")
        expected = ", ".join(sorted(SEVERITIES))
        raise RecordError("unknown_severity", f"severity {severity[:60]!r}: expected one of {expected}")


def _check_metrics(metrics: dict[str, Any]) -> int | None:
    """The status code, if there is one."""
    status, duration = metrics.get("status_code"), metrics.get("response_time_ms")
    if status is not None:
        if type(status) not in (int, float, Decimal):
            raise RecordError("invalid_type", f"metrics.status_code is {name_type(status)}: expected a number")
        if type(status) is not int or not 100 <= status <= 599:
            raise RecordError("status_out_of_range", f"metrics.status_code {str(status)[:40]}: expected 100 to 599")
    if duration is not None:
        if type(duration) not in (int, float, Decimal):
            raise RecordError("invalid_type", f"metrics.response_time_ms is {name_type(duration)}: expected a number")
        if duration < 0:
            raise RecordError(
                "negative_response_time", f"metrics.response_time_ms {str(duration)[:40]}: expected 0 or more"
            )
    return status


def _take_text(caller: dict[str, Any], name: str) -> str | None:
    value = caller.pop(name, None)
    return value if type(value) is str and value else to_text(f"context.{name}", value)


def _require(fields: dict[str, Any], name: str, kind: type, expected: str, within: str = "") -> None:
    value = fields.get(name)
    if value is not None and not isinstance(value, kind):
        raise RecordError("invalid_type", f"{within}{name} is {name_type(value)}: expected {expected}")
