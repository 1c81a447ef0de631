"""Records that were in the export before, and records that contradict an earlier one."""

import json
from typing import Any

from hindcast.synthetic.history_spellings import CAMEL_CASE, other_spelling, rename
from hindcast.synthetic.planted import CONFLICT, DUPLICATE, Planted, Source, staged, write_time, write_utc

MINUTE_MS = 60_000


def repeat(source: Source, variant: int) -> Planted:
    """Write the same bytes again."""
    return staged(source, source.text, DUPLICATE)


def respelled(source: Source, variant: int) -> Planted:
    """Write the same event in other words: names, order, 1 or 1.0, time notation, spacing, escapes."""
    record = source.record()
    time, naive = write_time(source.at_ms, variant)
    record["occurred_at"] = time
    names = CAMEL_CASE | (other_spelling(variant) if variant % 2 else {})
    text = json.dumps(turned(rename(record, names)), ensure_ascii=bool(variant % 3))
    return staged(source, text, DUPLICATE, naive=naive)


def conflict_content(source: Source, variant: int) -> Planted:
    """Reuse an own id, at its time, for other content; the record's number keeps two conflicts apart."""
    record = source.record()
    if variant % 2:
        record["user_agent"] = f"Replay/{source.number}"
    else:
        record["payload"]["revision"] = source.number
    return staged(source, record, CONFLICT)


def conflict_time(source: Source, variant: int) -> Planted:
    """Reuse an own id, with its content, at another time."""
    at_ms = shifted(source)
    return staged(source, source.record() | {"occurred_at": write_utc(at_ms)}, CONFLICT, at_ms=at_ms)


def shifted(source: Source) -> int:
    """Return another time in the window, a minute or two from the source's."""
    shift = MINUTE_MS + source.number % MINUTE_MS
    return source.at_ms + shift if source.at_ms + shift < source.window_ms[1] else source.at_ms - shift


def turned(value: Any) -> Any:
    """Reverse the keys of every object and write its whole numbers as 1.0, times excepted."""
    if isinstance(value, dict):
        return {
            key: float(item) if type(item) is int and key not in TIME_KEYS else turned(item)
            for key, item in reversed(value.items())
        }
    return value


TIME_KEYS = frozenset({"occurredAt", "occurred_at", "created_at", "createdAt", "timestamp", "time"})
