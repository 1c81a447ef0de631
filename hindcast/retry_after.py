"""How long a server asks to be left alone."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def read_retry_after(text: str | None, now: datetime) -> float | None:
    """Seconds to wait by a `Retry-After`: seconds or an HTTP date (RFC 9110, 10.2.3); None when it is neither."""
    if not text:
        return None
    try:
        if text.strip().replace(".", "", 1).isdecimal() and len(text) < 10:  # fractions are no standard, and are sent
            return float(text)
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds())
