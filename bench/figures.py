"""From what was taken in each round to the figures that are told: medians, spreads, ratios, tables."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

# What every ratio is taken to.
BASE: Final = "copy-text"


@dataclass(frozen=True)
class Taken:
    """One measurement: `seconds` for `events`; `details` are other figures, seconds by name among them."""

    seconds: float
    events: int
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def per_second(self) -> float:
        return self.events / self.seconds if self.seconds else 0.0


def summarise(rounds: Sequence[Mapping[str, Taken]]) -> dict[str, dict[str, Any]]:
    """The median of each measurement over the rounds that have it, with its spread and its ratio to the base.

    Ratios are of events a second, so that measurements of different sizes compare; a detail that is a number has
    its median, a mapping of numbers the medians of its members.
    """
    names = list(dict.fromkeys(name for taken in rounds for name in taken))
    summary = {name: _describe([taken[name] for taken in rounds if name in taken]) for name in names}
    base = summary.get(BASE)
    for figures in summary.values():
        figures["of_copy"] = round(figures["events_per_second"] / base["events_per_second"], 3) if base else None
    return summary


def _describe(taken: Sequence[Taken]) -> dict[str, Any]:
    seconds = [one.seconds for one in taken]
    return {
        "seconds": round(statistics.median(seconds), 3),
        "fastest": round(min(seconds), 3),
        "slowest": round(max(seconds), 3),
        "rounds": len(taken),
        "events": taken[0].events,
        "events_per_second": round(statistics.median(one.per_second for one in taken)),
        "details": _median_of([one.details for one in taken]),
    }


def _median_of(values: Sequence[Any]) -> Any:
    first = values[0]
    if isinstance(first, Mapping):
        keys = dict.fromkeys(key for value in values for key in value)
        return {key: _median_of([value[key] for value in values if key in value]) for key in keys}
    if isinstance(first, int | float) and not isinstance(first, bool):
        return round(statistics.median(values), 3)
    return first


def tabulate(rows: Sequence[Sequence[str]], heads: Sequence[str]) -> str:
    """A Markdown table; every column after the first is numbers, to the right."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def rotated(names: Sequence[str], number: int) -> list[str]:
    """The order of a round, so that nobody is always first on a cold machine or last on a hot one."""
    start = number % len(names) if names else 0
    return [*names[start:], *names[:start]]
