"""When to slow down, hold and go faster again: additive increase, multiplicative decrease, with hysteresis. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Final

# Crossed by this much, a limit is not approached but broken: stop at once.
HOLD_AT: Final = 4.0
# Under this share of every limit it is calm; between it and the limit the pace stays, so that it does not flap.
CALM_BELOW: Final = 0.8
CALM_SAMPLES: Final = 3
# Signals look back a few seconds: an earlier second cut would answer what the first one has mended already.
SETTLE_SECONDS: Final = 5.0
DECREASE: Final = 0.5
# Where a rate that our pace moves in proportion is aimed at, as a share of its limit: between calm and crossed.
AIM: Final = 0.95
# Of the pace at which nothing was wrong, a second: a whole recovery takes half a minute.
INCREASE: Final = 0.03
LOWEST_SHARE: Final = 0.02
LOWEST_ROWS: Final = 100.0
# What an import of this machine class does when nothing has been measured yet.
_GUESSED_ROWS: Final = 20_000.0


@dataclass(frozen=True)
class Reading:
    """One signal, now. `limit` is over 0; value and limit are in `unit`.

    `is_rate`: the value is so much a second of what our pace makes, so that half the pace is half the value.
    """

    signal: str
    value: float
    limit: float
    unit: str
    is_rate: bool = False

    @property
    def severity(self) -> float:
        """Over 1 the limit is crossed."""
        return self.value / self.limit


@dataclass(frozen=True)
class Decision:
    """A change of pace, and the reading that caused it. Rows a second: 0 holds, None is as fast as it goes.

    Actions: `slow`, `hold`, `trickle` (held for long enough: the lowest pace instead), `raise`, `free`.
    """

    action: str
    reading: Reading
    rows_per_second: float | None


@dataclass
class Throttle:
    """Decides once a sample. `longest_hold` is in seconds; times are any monotonic clock."""

    longest_hold: float
    rate: float = inf
    _fastest: float = 0.0
    _changed_at: float = -inf
    _held_at: float | None = None
    _calm: int = 0
    _last_raise: float = field(default=-inf)

    def decide(self, readings: Sequence[Reading], throughput: float, now: float) -> Decision | None:
        """The change of pace that these readings ask for; `throughput` is the rows a second of late."""
        if self.rate == inf:
            self._fastest = max(self._fastest, throughput)
        if not readings:
            return None
        worst = max(readings, key=lambda reading: reading.severity)
        self._calm = self._calm + 1 if worst.severity < CALM_BELOW else 0
        if self._held_at is not None:
            return self._decide_held(worst, now)
        if worst.severity >= HOLD_AT and self.rate > self._lowest:
            self._held_at = now
            return self._change("hold", worst, 0.0, now)
        if worst.severity > 1:
            share = min(_share_left(reading) for reading in readings if reading.severity > 1)
            return self._slow_down(worst, share, throughput, now)
        if self.rate < inf and self._calm >= CALM_SAMPLES:
            return self._go_faster(worst, now)
        return None

    @property
    def _reference(self) -> float:
        return self._fastest or _GUESSED_ROWS

    @property
    def _lowest(self) -> float:
        return max(LOWEST_ROWS, self._reference * LOWEST_SHARE)

    def _decide_held(self, worst: Reading, now: float) -> Decision | None:
        assert self._held_at is not None
        if self._calm >= CALM_SAMPLES:
            self._held_at = None
            return self._change("raise", worst, 5 * self._lowest, now)
        if now - self._held_at >= self.longest_hold:
            self._held_at = None
            return self._change("trickle", worst, self._lowest, now)
        return None

    def _slow_down(self, worst: Reading, share: float, throughput: float, now: float) -> Decision | None:
        if now - self._changed_at < SETTLE_SECONDS or self.rate <= self._lowest:
            return None
        present = min(self.rate, throughput or self._reference)
        return self._change("slow", worst, max(self._lowest, present * share), now)

    def _go_faster(self, worst: Reading, now: float) -> Decision:
        seconds = min(now - max(self._last_raise, self._changed_at), 2.0)
        self._last_raise = now
        rate = self.rate + self._reference * INCREASE * seconds
        # Beyond what was reached without a limit there is nothing to limit.
        if rate >= self._reference * 1.1:
            self.rate, self._calm = inf, 0
            return Decision("free", worst, None)
        self.rate = rate
        return Decision("raise", worst, rate)

    def _change(self, action: str, worst: Reading, rate: float, now: float) -> Decision:
        self.rate, self._changed_at, self._calm = rate, now, 0
        return Decision(action, worst, rate)


def _share_left(reading: Reading) -> float:
    """Of the present pace, what a crossed limit leaves: one that grows with it tells how far it is too fast."""
    return max(DECREASE, AIM / reading.severity) if reading.is_rate else DECREASE
