"""An unusual record: what it is made from, how it is written, what must become of it."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

LOADED = "loaded"
DUPLICATE = "duplicate"
CONFLICT = "conflict"

Record = dict[str, Any]  # a decoded JSON object: its values are whatever JSON holds
COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
ESCAPED = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Source:
    """An ordinary line to start from. `number` is the new record's place: unique, so content can be too."""

    text: str
    at_ms: int
    event_type: str
    number: int
    window_ms: tuple[int, int]

    def record(self) -> Record:
        """Decode the line, which is our own."""
        record: Record = json.loads(self.text)
        return record


@dataclass(frozen=True)
class Planted:
    """A line as written. `verdict` is LOADED, DUPLICATE, CONFLICT or the code it must be rejected with."""

    text: str
    verdict: str
    at_ms: int = 0
    event_type: str = ""
    naive: bool = False
    sanitised: bool = False
    times_differ: bool = False
    unknown: tuple[str, ...] = ()


def staged(source: Source, record: Record | str, verdict: str = LOADED, **facts: Any) -> Planted:
    """Plant a record that can be decoded; time and type are the source's unless `facts` say otherwise."""
    text = record if isinstance(record, str) else write_record(record)
    known = {"at_ms": source.at_ms, "event_type": source.event_type}
    return Planted(text, verdict, **{**known, **facts})


def write_record(record: Record, escaped: bool = False) -> str:
    """Encode compactly; `escaped` writes all but ASCII as escapes, the only way to write a lone surrogate."""
    return (ESCAPED if escaped else COMPACT).encode(record)


def write_time(at_ms: int, variant: int) -> tuple[str | int, bool]:
    """Write one instant in one of eight notations; also say whether that notation lacks a zone."""
    at = EPOCH + timedelta(milliseconds=at_ms)
    plain = at.replace(tzinfo=None)
    notations: tuple[tuple[str | int, bool], ...] = (
        (at.astimezone(timezone(timedelta(hours=2))).isoformat(timespec="milliseconds"), False),
        (at_ms, False),
        (plain.isoformat(timespec="milliseconds"), True),
        (at.astimezone(timezone(-timedelta(hours=3, minutes=30))).isoformat(timespec="microseconds"), False),
        (str(at_ms), False),
        (plain.isoformat(sep=" ", timespec="milliseconds"), True),
        (f"{plain.isoformat(timespec='milliseconds')}000Z", False),
        (at.astimezone(timezone(timedelta(hours=14))).isoformat(timespec="milliseconds"), False),
    )
    return notations[variant % len(notations)]


def write_utc(at_ms: int) -> str:
    """Write the notation ordinary records have."""
    at = EPOCH + timedelta(milliseconds=at_ms)
    return f"{at.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
