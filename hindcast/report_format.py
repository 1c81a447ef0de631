"""How the report writes numbers, times and other people's text, in HTML, Markdown and the terminal alike."""

import math
import re
from datetime import datetime
from typing import Any

NOT_KNOWN = "–"
TEXT_LIMIT = 2_000  # characters of one hostile value in a page; report.json has the whole of it

# Everything that can hide or reorder text or drive a terminal: C0 and C1 controls except newline and tab,
# zero-width and bidirectional marks, line separators, the byte order mark, and lone surrogates (UTF-8
# refuses those).
_INVISIBLE = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u061c\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ud800-\\udfff]"
)
_SIZES = ("kB", "MB", "GB", "TB")


def plain(value: Any) -> Any:
    """Reduce to what JSON can say: numpy scalars become numbers, NaN and infinities text, all else text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    as_python = getattr(value, "item", None)  # numpy's way to a Python scalar
    unboxed = as_python() if callable(as_python) else value
    return str(value) if unboxed is value or not isinstance(unboxed, int | float | bool) else plain(unboxed)


def visible(value: Any) -> Any:
    """Write control and direction characters as escapes and cut long text, in every string within."""
    if isinstance(value, str):
        cut = value[:TEXT_LIMIT]
        shown = _INVISIBLE.sub(lambda match: f"\\u{ord(match[0]):04x}", cut.replace("\r\n", "\n"))
        return shown if len(value) <= TEXT_LIMIT else f"{shown}… ({len(value):,} characters)"
    if isinstance(value, dict):
        return {visible(key): visible(item) for key, item in value.items()}
    return [visible(item) for item in value] if isinstance(value, list) else value


def number(value: Any) -> str:
    """Thousands separators; at most two decimals for a number that has some."""
    if value is None:
        return NOT_KNOWN
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or value.is_integer():
        return f"{int(value):,}".replace("-", "−")
    return f"{value:,.2f}".rstrip("0").rstrip(".").replace("-", "−") if abs(value) >= 0.01 else f"{value:.3g}"


def signed(value: int | None) -> str:
    """A change: `+12`, `−3`, `0`."""
    return NOT_KNOWN if value is None else f"+{value:,}" if value > 0 else number(value)


def size(value: Any) -> str:
    """Bytes in decimal units."""
    if not isinstance(value, int | float):
        return NOT_KNOWN
    if abs(value) < 1000:
        return f"{int(value)} B"
    amount, unit = value / 1000, 0
    while abs(amount) >= 999.95 and unit < len(_SIZES) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:,.1f} {_SIZES[unit]}".replace("-", "−")


def seconds(value: Any) -> str:
    """A duration at the precision a reader can use: `84 ms`, `3.2 s`, `4 min 10 s`, `2 h 05 min`."""
    if not isinstance(value, int | float):
        return NOT_KNOWN
    if value < 0.9995:
        return f"{value * 1000:,.0f} ms" if value >= 0.001 or value == 0 else "under 1 ms"
    if value < 59.95:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60:02d} min"


def milliseconds(value: Any) -> str:
    """A query's time; tenths below ten milliseconds."""
    if not isinstance(value, int | float):
        return NOT_KNOWN
    return f"{value:.1f} ms" if value < 10 else f"{value:,.0f} ms" if value < 1000 else seconds(value / 1000)


def instant(value: Any) -> str:
    """`2026-07-30 02:14:09 UTC` from ISO 8601; text that is no time is shown as it is."""
    if not value:
        return NOT_KNOWN
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return str(value)
    zone = " UTC" if moment.utcoffset() is not None and not moment.utcoffset() else moment.strftime(" %z").rstrip()
    return moment.strftime("%Y-%m-%d %H:%M:%S") + zone


def share(part: Any, whole: Any) -> str:
    """A percentage that never rounds something to nothing or nearly all to all."""
    if not isinstance(part, int | float) or not isinstance(whole, int | float) or not whole:
        return NOT_KNOWN
    percent = 100 * part / whole
    if 0 < percent < 0.01:
        return "under 0.01 %"
    if 99.99 < percent < 100:
        return "over 99.99 %"
    return f"{percent:.2f}".rstrip("0").rstrip(".") + " %"


def count_of(amount: Any, noun: str, plural: str = "") -> str:
    """`1 line`, `2 lines`."""
    return f"{number(amount)} {noun if amount == 1 else plural or noun + 's'}"


def tell_table(report: dict[str, Any], ending: str) -> str:
    """What of a run is in the table: what it loaded, or, where rows were rolled back since, what verifying found."""
    rolled_back = (report["verification"] or {}).get("rolled_back")
    if not rolled_back:
        return f"{count_of(report['loaded'], 'event')} in the table {ending}"
    found = sum(row["table"] or 0 for row in report["months"])
    return f"{count_of(found, 'event')} in the table {ending}; {number(rolled_back)} were rolled back since"
