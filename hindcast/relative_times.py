"""Moments as a person types them: `now`, `3 days ago`, a date, a time."""

import re
from calendar import monthrange
from datetime import UTC, datetime, timedelta
from typing import Final

from hindcast.errors import ConfigurationError

_AGO: Final = re.compile(r"^(\d{1,6})\s+(minute|hour|day|week|month|year)s?\s+ago$", re.IGNORECASE)
_DATE_AND_HOUR: Final = re.compile(r"^(\d{4}-\d{2}-\d{2})T(\d{2})$")
_FIXED: Final = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}
EXPECTED: Final = "expected now, N minutes|hours|days|weeks|months|years ago, YYYY-MM-DD, or a time in ISO 8601"


def parse_moment(text: str, now: datetime) -> datetime:
    """Read a moment, in UTC; what has no zone is UTC. A month ago is the same day of that month, or its last.

    Raises ConfigurationError saying what was expected.
    """
    wanted = text.strip()
    if wanted.lower() == "now":
        return now.astimezone(UTC)
    found = _AGO.match(wanted)
    try:
        if found:
            return _go_back(now.astimezone(UTC), int(found[1]), found[2].lower())
        wanted = _DATE_AND_HOUR.sub(r"\1T\2:00", wanted)
        moment = datetime.fromisoformat(wanted)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ConfigurationError(f"time {text[:60]!r}: {EXPECTED}") from None


def _go_back(now: datetime, count: int, unit: str) -> datetime:
    if unit in _FIXED:
        return now - count * _FIXED[unit]
    months = now.year * 12 + now.month - 1 - count * (12 if unit == "year" else 1)
    year, month = divmod(months, 12)
    return now.replace(year=year, month=month + 1, day=min(now.day, monthrange(year, month + 1)[1]))
