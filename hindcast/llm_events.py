"""LLM analytics events: the one mapping of `$ai_*` events to rows, for the capture endpoint and for imports alike.

Identity: the event's `uuid`, within its team. Large values ("blobs") are out of the payload: in their place stands
`s3://bucket/key?range=first-last`. Field rules: docs/capture.md.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from hindcast.canonical import check_depth, mark_unstorable
from hindcast.errors import RecordError
from hindcast.event import Event
from hindcast.formats.reading import name_type, read_object
from hindcast.times import check_range, parse_time

SOURCE: Final = "llm_analytics"
# Each type, and the properties that commonly are large.
BLOB_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "$ai_generation": ("$ai_input", "$ai_output_choices"),
    "$ai_trace": ("$ai_input_state", "$ai_output_state"),
    "$ai_span": ("$ai_input_state", "$ai_output_state"),
    "$ai_embedding": ("$ai_input",),
    "$ai_metric": (),
    "$ai_feedback": (),
}
# Properties that rollups read as numbers; a value of another type stays in the payload, and counts as none.
NUMBER_NAMES: Final = ("$ai_input_tokens", "$ai_output_tokens", "$ai_latency")
KNOWN_NAMES: Final = frozenset({"event", "distinct_id", "uuid", "timestamp", "properties"})
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True)
class Reading:
    """What the mapping needs beside the event: the team, the latest time allowed, and the time of an event without one.

    `arrived_at` is set for live events only; an event of an export that has no time is a reject.
    """

    team: str
    latest: datetime
    arrived_at: datetime | None = None


def read_json(raw: bytes) -> tuple[dict[str, Any], bool]:
    """Read a JSON object as records are read; also returns whether texts were made storable. Raises RecordError."""
    check_depth(raw)
    marked, is_sanitised = mark_unstorable(raw)
    return read_object(marked), is_sanitised


def map_event(fields: Mapping[str, Any], reading: Reading) -> Event:
    """Make the event of a decoded `$ai_*` object, blobs still inside its properties; raises RecordError.

    Required: a known `event`, `distinct_id`, `uuid`, `properties.$ai_model`; and `timestamp`, but for live events.
    """
    event_type = _require_text(fields, "event")
    if event_type not in BLOB_NAMES:
        raise RecordError("unknown_event", f"event {event_type[:60]!r}: expected one of {', '.join(BLOB_NAMES)}")
    distinct_id = _require_text(fields, "distinct_id")
    own_id = read_uuid(fields.get("uuid"))
    properties = fields.get("properties")
    if properties is None:
        properties = {}
    if not isinstance(properties, dict):
        raise RecordError("invalid_type", f"properties is {name_type(properties)}: expected an object")
    _require_text(properties, "$ai_model")
    occurred_at, is_naive = _read_time(fields.get("timestamp"), reading)
    return Event(
        occurred_at=occurred_at,
        event_type=event_type,
        user_id=distinct_id,
        source_event_id=own_id,
        payload=properties,
        tenant=reading.team,
        is_naive=is_naive,
    )


def read_uuid(value: object) -> str:
    """Read a UUID in its usual spelling, in lower case; raises RecordError `invalid_uuid`."""
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise RecordError("invalid_uuid", "uuid: expected a text like 0f25663a-3e84-4a94-8f25-663a3e84ea94")
    return value.lower()


def put_references(properties: Mapping[str, Any], references: Mapping[str, str]) -> dict[str, Any]:
    """The properties with each large value's place taken by where it is now."""
    return {**properties, **references}


def _read_time(value: object, reading: Reading) -> tuple[datetime, bool]:
    if value is None and reading.arrived_at is not None:
        return reading.arrived_at, False
    moment, is_naive = parse_time(value)
    check_range(moment, reading.latest)
    return moment, is_naive


def _require_text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if value is None:
        raise RecordError("missing_field", f"{name}: required")
    if not isinstance(value, str):
        raise RecordError("invalid_type", f"{name} is {name_type(value)}: expected a string")
    if not value.strip():
        raise RecordError("missing_field", f"{name}: empty")
    return value
