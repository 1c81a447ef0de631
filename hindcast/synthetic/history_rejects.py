"""Lines that must be set aside, with the code each must be set aside with."""

from hindcast.synthetic.broken_lines import ANCIENT_TIMES, FUTURE_TIMES, IMPOSSIBLE_TIMES, changed, without
from hindcast.synthetic.planted import Planted, Source


def missing_event_type(source: Source, variant: int) -> Planted:
    """Leave the event type out, or say nothing in it."""
    return without(source, "event_type", (None, "", "   "), variant, "missing_event_type")


def missing_time(source: Source, variant: int) -> Planted:
    """Leave the time out, or null."""
    return without(source, "occurred_at", (None,), variant, "missing_time")


def impossible_time(source: Source, variant: int) -> Planted:
    """Name a day or an hour that never was, or no time at all."""
    return changed(source, "occurred_at", IMPOSSIBLE_TIMES[variant % len(IMPOSSIBLE_TIMES)], "invalid_time")


def future_time(source: Source, variant: int) -> Planted:
    """Name a time far ahead whenever the export is read."""
    return changed(source, "occurred_at", FUTURE_TIMES[variant % len(FUTURE_TIMES)], "time_out_of_range")


def ancient_time(source: Source, variant: int) -> Planted:
    """Name a time before 1970."""
    return changed(source, "occurred_at", ANCIENT_TIMES[variant % len(ANCIENT_TIMES)], "time_out_of_range")


def too_long(source: Source, variant: int) -> Planted:
    """Give a value of 257 characters or more where 256 are the most."""
    name, value = (("event_type", "x" * 257), ("course_id", "ü" * 257), ("lesson_id", "l" * 5_000))[variant % 3]
    return changed(source, name, value, "value_too_long")


def wrong_type(source: Source, variant: int) -> Planted:
    """Give a number, truth value or container where text belongs."""
    values = (
        ("event_type", 42),
        ("user_id", True),
        ("course_id", {"id": 1}),
        ("session_id", ["s"]),
        ("user_agent", 1.5),
    )
    name, value = values[variant % len(values)]
    return changed(source, name, value, "invalid_type")
