"""Half-open windows `[start, end)` in UTC."""

from dataclasses import dataclass
from datetime import datetime

from hindcast.errors import ConfigurationError, RecordError
from hindcast.times import parse_time


@dataclass(frozen=True)
class Window:
    """From `start` up to but not including `end`; None leaves that side open."""

    start: datetime | None = None
    end: datetime | None = None

    def contains(self, moment: datetime) -> bool:
        """True when the moment lies in the window."""
        return (self.start is None or self.start <= moment) and (self.end is None or moment < self.end)

    def isoformat(self) -> list[str | None] | None:
        """`[start, end]` for reports, None when the window is open on both sides."""
        if self.start is None and self.end is None:
            return None
        return [moment.isoformat() if moment else None for moment in (self.start, self.end)]


def parse_window(text: str | None) -> Window:
    """Read `START..END`; either side may be empty, a date stands for its midnight UTC."""
    if text is None or not text.strip():
        return Window()
    start_text, separator, end_text = text.partition("..")
    if not separator:
        raise ConfigurationError(f"window {text!r}: expected START..END, such as 2024-01-01..2024-02-01")
    try:
        start, end = (parse_time(side)[0] if side.strip() else None for side in (start_text, end_text))
    except RecordError as error:
        raise ConfigurationError(f"window {text!r}: {error.sentence}") from None
    if start and end and start >= end:
        raise ConfigurationError(f"window {text!r}: its start is not before its end (the end is not included)")
    return Window(start, end)
