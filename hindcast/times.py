"""Times as exports write them, in UTC (what has no zone is read as UTC), and days as ranges."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Final

import msgspec

from hindcast.errors import RecordError

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
FUTURE_TOLERANCE: Final = timedelta(days=1)

_MICROSECOND = timedelta(microseconds=1)
_SECONDS_BELOW = 10**11  # as seconds this is the year 5138, as milliseconds 1973
_MILLISECONDS_BELOW = 10**14
_LEAP_SECOND = re.compile(r"^(.*\d\d:\d\d:)60(.*)$", re.DOTALL)
_EPOCH_DIGITS = re.compile(r"^(?:[0-9]{10}|[0-9]{13})$")


def midnight(day: date) -> datetime:
    """The moment a UTC day begins."""
    return datetime.combine(day, time(), UTC)


def merge_days(days: Sequence[date]) -> list[tuple[date, date]]:
    """Merge days into half-open ranges, so that a month is one statement."""
    ranges: list[tuple[date, date]] = []
    for day in sorted(set(days)):
        if ranges and ranges[-1][1] == day:
            ranges[-1] = (ranges[-1][0], day + timedelta(days=1))
        else:
            ranges.append((day, day + timedelta(days=1)))
    return ranges


def parse_time(value: object) -> tuple[datetime, bool]:
    """Read a time as exports spell it; returns it in UTC and whether it had no zone of its own.

    Takes ISO 8601 as `datetime.fromisoformat` does, epoch seconds or milliseconds (numbers, or strings of 10 or 13
    digits); a leap second is the first second of the next minute. Raises RecordError `invalid_time`.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        raise _invalid(value)
    if not isinstance(value, str):
        return _from_epoch(value), False
    text = value.strip()
    if _EPOCH_DIGITS.match(text):
        return _from_epoch(int(text)), False
    leap = _LEAP_SECOND.match(text)
    try:
        moment = _read_iso(f"{leap[1]}59{leap[2]}" if leap else text)
        if leap:
            moment += timedelta(seconds=1)
        if moment.tzinfo is None:
            return moment.replace(tzinfo=UTC), True
        return moment.astimezone(UTC), False
    except (ValueError, OverflowError):
        raise _invalid(value) from None


def check_range(moment: datetime, latest: datetime) -> None:
    """Raise RecordError `time_out_of_range` unless 1970 <= moment <= latest."""
    if not EPOCH <= moment <= latest:
        raise RecordError(
            "time_out_of_range",
            f"time {moment.isoformat()}: expected between 1970-01-01 and {latest.isoformat()}",
        )


def to_microseconds(moment: datetime) -> int:
    """Microseconds since 1970 of an aware time, exactly."""
    return (moment - EPOCH) // _MICROSECOND


def from_microseconds(microseconds: int) -> datetime:
    """The inverse of `to_microseconds`."""
    return EPOCH + timedelta(microseconds=microseconds)


def format_utc(moment: datetime | None) -> str | None:
    """Write an instant as reports do: `2024-01-31T23:59:59.000000Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if moment else None


def _read_iso(text: str) -> datetime:
    try:
        return msgspec.convert(text, datetime)  # RFC 3339; rounds what is finer than a microsecond
    except msgspec.ValidationError:
        return datetime.fromisoformat(text)


def _from_epoch(number: float | Decimal) -> datetime:
    if -_SECONDS_BELOW < number < _SECONDS_BELOW:
        microseconds = round(number * 1_000_000)
    elif -_MILLISECONDS_BELOW < number < _MILLISECONDS_BELOW:
        microseconds = round(number * 1_000)
    else:
        raise _invalid(number)
    try:
        return from_microseconds(microseconds)
    except OverflowError:  # before the year 1
        raise _invalid(number) from None


def _invalid(value: object) -> RecordError:
    shown = str(value)[:60] if isinstance(value, str | int | float | Decimal) else type(value).__name__
    return RecordError("invalid_time", f"time {shown!r}: expected a UTC time like 2024-07-01T15:00:00Z")
