"""When the events of an export happen: a curve of traffic by the hour."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np

from hindcast.synthetic.draws import Fractions, Integers

HOUR_MS = 3_600_000


class TrafficCurve:
    """Spreads events over a window; `weigh_hours` gives the weights of hours counted from 1970."""

    def __init__(self, start_ms: int, end_ms: int, weigh_hours: Callable[[Integers], Fractions]) -> None:
        self.start_ms, self.end_ms = start_ms, end_ms
        full = np.arange(start_ms // HOUR_MS * HOUR_MS + HOUR_MS, end_ms, HOUR_MS, dtype=np.int64)
        self.knots_ms = np.concatenate([[start_ms], full, [end_ms]])
        weights = weigh_hours(self.knots_ms[:-1] // HOUR_MS) * (np.diff(self.knots_ms) / HOUR_MS)
        share = np.concatenate([[0.0], np.cumsum(weights)])
        self.shares = share / share[-1]

    def times(self, places: Fractions) -> Integers:
        """Return epoch milliseconds for places in [0, 1), in the same order."""
        at_ms: Integers = np.interp(places, self.shares, self.knots_ms).astype(np.int64)
        return at_ms.clip(self.start_ms, self.end_ms - 1)


def to_ms(instant: datetime) -> int:
    """Return whole milliseconds since 1970."""
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
