"""The books of the generator: what each record it wrote must become."""

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hindcast.synthetic.draws import Integers
from hindcast.synthetic.planted import CONFLICT, DUPLICATE, EPOCH, LOADED, Planted
from hindcast.synthetic.spec import Answers, FileFacts, GenerateSpec, MonthCount

if TYPE_CHECKING:
    from hindcast.synthetic.blocks import Block

STAGED = frozenset({LOADED, DUPLICATE, CONFLICT})


class Tally:
    """Counts records as they are made."""

    def __init__(self) -> None:
        self.verdicts: Counter[str] = Counter()
        self.planted: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self.months: Counter[tuple[int, str]] = Counter()
        self.naive_times = 0
        self.sanitised = 0
        self.times_differ = 0
        self.first_ms: int | None = None
        self.last_ms: int | None = None

    def add_ordinary(self, block: "Block", ordinary: NDArray[np.bool_]) -> None:
        """Count the block's ordinary records, all of which are loaded."""
        at_ms = block.at_ms[ordinary]
        if not len(at_ms):
            return
        self.verdicts[LOADED] += len(at_ms)
        self.span(int(at_ms.min()), int(at_ms.max()))
        months: Integers = at_ms.view("datetime64[ms]").astype("datetime64[M]").astype(np.int64)
        keys, counts = np.unique(months * len(block.event_types) + block.type_index[ordinary], return_counts=True)
        for key, count in zip(keys.tolist(), counts.tolist(), strict=True):
            month, event_type = divmod(key, len(block.event_types))
            self.months[month, block.event_types[event_type]] += count

    def add_planted(self, name: str, planted: Planted) -> None:
        """Count one odd record."""
        self.planted[name] += 1
        self.verdicts[planted.verdict] += 1
        if planted.verdict not in STAGED:
            return
        self.span(planted.at_ms, planted.at_ms)
        self.naive_times += planted.naive
        self.times_differ += planted.times_differ
        self.unknown.update(planted.unknown)
        if planted.verdict == LOADED:
            self.sanitised += planted.sanitised
            at = EPOCH + timedelta(milliseconds=planted.at_ms)
            self.months[(at.year - 1970) * 12 + at.month - 1, planted.event_type] += 1

    def span(self, first_ms: int, last_ms: int) -> None:
        """Widen the time range of staged events."""
        self.first_ms = first_ms if self.first_ms is None else min(self.first_ms, first_ms)
        self.last_ms = last_ms if self.last_ms is None else max(self.last_ms, last_ms)

    def answers(self, spec: GenerateSpec, files: list[FileFacts]) -> Answers:
        """Close the books."""
        rejects = {code: count for code, count in sorted(self.verdicts.items()) if code not in STAGED}
        rejected = sum(rejects.values())
        months = [
            MonthCount(f"{1970 + month // 12}-{month % 12 + 1:02}", event_type, count)
            for (month, event_type), count in sorted(self.months.items())
        ]
        return Answers(
            format=spec.format,
            count=spec.count,
            seed=spec.seed,
            lines=spec.count,
            staged=sum(self.verdicts.values()) - rejected,
            loaded=self.verdicts[LOADED],
            duplicate=self.verdicts[DUPLICATE],
            conflict=self.verdicts[CONFLICT],
            rejected=rejected,
            rejects_by_reason=rejects,
            sanitised=self.sanitised,
            naive_times=self.naive_times,
            times_differ=self.times_differ,
            unknown_properties=dict(sorted(self.unknown.items())),
            first_at=write_instant(self.first_ms),
            last_at=write_instant(self.last_ms),
            months=months,
            files=files,
            planted=dict(sorted(self.planted.items())),
        )


def write_instant(at_ms: int | None) -> str | None:
    """Write UTC with six decimals."""
    if at_ms is None:
        return None
    at = EPOCH + timedelta(milliseconds=at_ms)
    return f"{at.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
