"""Where each bar and label of the plot of events per day goes. Geometry only: the template draws it."""

import math
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from hindcast.report_format import number

DAYS_LIMIT = 400  # beyond this a bar would be thinner than two pixels: months instead
_MARGIN_LEFT, _MARGIN_RIGHT, _MARGIN_TOP, _MARGIN_BOTTOM = 58.0, 8.0, 10.0, 26.0
_LABEL_WIDTH = 62.0  # of "02 Sep" or "Sep 2024" at the plot's type size, with air around it


@dataclass(frozen=True)
class Bar:
    """One day or month. A bar runs from its y down to the plot's base."""

    x: float
    width: float
    y_before: float
    y_after: float
    title: str


@dataclass(frozen=True)
class Label:
    """A tick: its place along its axis, and its words."""

    at: float
    text: str


@dataclass(frozen=True)
class Plot:
    """A drawn plot: `base` is the y of zero, `left` and `right` bound the bars, `span` names the days."""

    width: float
    height: float
    left: float
    right: float
    base: float
    unit: str
    span: str
    bars: list[Bar]
    y_ticks: list[Label]
    x_ticks: list[Label]

    @property
    def shrank(self) -> bool:
        """Whether some bar is lower than it was."""
        return any(bar.y_after > bar.y_before for bar in self.bars)


@dataclass(frozen=True, order=True)
class _Slot:
    start: date
    before: int
    after: int


def plot_events(rows: list[dict[str, Any]], width: float, height: float, days_limit: int = DAYS_LIMIT) -> Plot | None:
    """Lay out rows of `{day, before, after}` in any order, gaps kept as gaps; None when there is no row.

    More than `days_limit` days from first to last are drawn as months.
    """
    days = sorted(_Slot(date.fromisoformat(row["day"][:10]), row["before"], row["after"]) for row in rows)
    if not days:
        return None
    monthly = (days[-1].start - days[0].start).days >= days_limit
    slots = _by_month(days) if monthly else _every_day(days)
    step, top = _scale(max(max(slot.before, slot.after) for slot in slots))
    frame = _Frame(width, height, top, len(slots))
    places = _tick_places(len(slots), frame.room)
    return Plot(
        width=width,
        height=height,
        left=_MARGIN_LEFT,
        right=frame.right,
        base=frame.base,
        unit="month" if monthly else "day",
        span=f"{days[0].start} to {days[-1].start}",
        bars=[_bar(frame, i, slot, monthly) for i, slot in enumerate(slots) if slot.before or slot.after],
        y_ticks=[Label(frame.y(mark), number(mark)) for mark in range(0, top + 1, step)],
        x_ticks=[Label(round(frame.middle(i), 2), _tick(slots[i].start, monthly)) for i in places],
    )


@dataclass(frozen=True)
class _Frame:
    """From counts and slots to points of the drawing."""

    width: float
    height: float
    top: int
    slots: int

    @property
    def base(self) -> float:
        return self.height - _MARGIN_BOTTOM

    @property
    def right(self) -> float:
        return self.width - _MARGIN_RIGHT

    @property
    def room(self) -> float:
        return (self.right - _MARGIN_LEFT) / self.slots

    def y(self, count: int) -> float:
        return round(self.base - count / self.top * (self.base - _MARGIN_TOP), 2)

    def middle(self, slot: int) -> float:
        return _MARGIN_LEFT + self.room * (slot + 0.5)


def _bar(frame: _Frame, index: int, slot: _Slot, monthly: bool) -> Bar:
    width = min(frame.room * (0.86 if frame.room > 4 else 1.0), 36.0)  # no gaps between hair-thin bars
    left = round(frame.middle(index) - width / 2, 2)
    return Bar(left, round(width, 2), frame.y(slot.before), frame.y(slot.after), _title(slot, monthly))


def _every_day(days: list[_Slot]) -> list[_Slot]:
    known = {slot.start: slot for slot in days}
    first, span = days[0].start, (days[-1].start - days[0].start).days
    wanted = (first + timedelta(days=i) for i in range(span + 1))
    return [known.get(day, _Slot(day, 0, 0)) for day in wanted]


def _by_month(days: list[_Slot]) -> list[_Slot]:
    first, last = days[0].start, days[-1].start
    months = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
    sums = {date(month // 12, month % 12 + 1, 1): [0, 0] for month in months}
    for slot in days:
        pair = sums[slot.start.replace(day=1)]
        pair[0] += slot.before
        pair[1] += slot.after
    return [_Slot(month, before, after) for month, (before, after) in sums.items()]


def _scale(highest: int) -> tuple[int, int]:
    """A round step and the top of the axis for about five lines; counts are whole: at least 1 a step."""
    rough = max(highest, 1) / 4
    power = 10 ** math.floor(math.log10(rough)) if rough >= 1 else 1
    step = max(1, next(int(power * factor) for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough))
    return step, step * math.ceil(max(highest, 1) / step)


def _tick_places(count: int, room: float) -> range:
    every = max(1, math.ceil(_LABEL_WIDTH / room))
    return range(min(every // 2, count // 2), count, every)


def _tick(day: date, monthly: bool) -> str:
    return day.strftime("%b %Y") if monthly else day.strftime("%-d %b")


def _title(slot: _Slot, monthly: bool) -> str:
    when = slot.start.strftime("%B %Y") if monthly else slot.start.strftime("%a %-d %b %Y")
    return f"{when}: {number(slot.before)} before, {number(slot.after)} after"
