"""A bar chart as SVG: events a second, one bar a measurement."""

from html import escape
from typing import Any, Final

from bench.show import TITLES
from hindcast.report_format import number

_BARS, _ROW, _VALUES, _TOP = 420, 26, 110, 34
_CHARACTER: Final = 7.5  # wide, in most fonts without serifs at this size
_COLOURS: Final = {"ours": "#2563eb", "copy": "#64748b", "peer": "#d97706"}
_SHOWN: Final = ("copy-binary", "copy-text", "backfill", "reimport", "dry-run", "backfill-small")
_PEERS: Final = ("node", "executemany", "sling", "dlt-arrow", "dlt-tuned", "dlt")


def draw(result: dict[str, Any]) -> str:
    """The chart of a result; measurements that it lacks are left out."""
    figures = result["figures"]
    names = [name for name in (*_SHOWN, *_PEERS) if name in figures]
    top = max((figures[name]["events_per_second"] for name in names), default=1)
    titles = [TITLES[name].replace("`", "").replace("*", "") for name in names]
    left = round(_CHARACTER * max(map(len, titles), default=0)) + 16
    width, height = left + _BARS + _VALUES, _TOP + _ROW * len(names) + 12
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
        ' font-family="system-ui, sans-serif" font-size="13">',
        "<title>Events a second, by way of loading</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="{left}" y="20" fill="#334155">events a second ({number(result["events"])} events;'
        f" peers {number(result['peer_events'])})</text>",
    ]
    for index, (name, title) in enumerate(zip(names, titles, strict=True)):
        rate, y = figures[name]["events_per_second"], _TOP + _ROW * index
        length = max(round(_BARS * rate / top, 1), 1)
        lines += [
            f'<text x="{left - 8}" y="{y + 16}" text-anchor="end" fill="#0f172a">{escape(title)}</text>',
            f'<rect x="{left}" y="{y + 3}" width="{length}" height="{_ROW - 8}" fill="{_colour(name)}"/>',
            f'<text x="{left + length + 6}" y="{y + 16}" fill="#0f172a">{number(rate)}</text>',
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"


def _colour(name: str) -> str:
    return _COLOURS["peer" if name in _PEERS else "copy" if name.startswith("copy") else "ours"]
