"""Which odd record goes where. Shares are per thousand records; every kind gets a turn in small exports too.

Records are taken in groups of five, and only the third or the fourth of a group may be odd (for one kind, the
next as well): there is always an ordinary record to repeat, and no odd record touches another.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hindcast.synthetic.draws import draw_words, take_bits
from hindcast.synthetic.planted import Planted, Source

GROUP = 5
REJECT_LIMIT = 0.009  # of all records, whatever the shares say: the default gate stops at one in a hundred


@dataclass(frozen=True)
class Kind:
    """One kind of odd record.

    `origin` is the ordinary record it is made from: that of its own `place`, the one just `before`, the first
    of its group with an `own_id` given to it, a `far` one, or a far one that has an own id, `far_own_id`.
    `again` repeats the odd line itself at once; the repeat is counted under the same name.
    """

    make: Callable[[Source, int], Planted]
    per_mille: float
    origin: str = "place"
    name: str = ""
    reject: bool = False
    again: bool = False


@dataclass(frozen=True)
class Entry:
    """An odd record to be: offset in the block, kind, how many of the kind came before, a random number."""

    offset: int
    kind: Kind
    ordinal: int
    pick: int


def kind_name(kind: Kind) -> str:
    """Return the name the answer key counts this kind by."""
    return kind.name or kind.make.__name__


class PlantingPlan:
    """Says for any block which of its records are odd, from seed and count alone."""

    def __init__(self, seed: int, count: int, kinds: tuple[Kind, ...]) -> None:
        self.seed = seed
        self.count = count
        self.kinds = kinds
        self.totals = kind_totals(count, kinds)

    def draw_entries(self, block: int, first: int, size: int) -> list[Entry]:
        """Place this block's part of each kind's total at random in its groups; ordered by offset."""
        groups = size // GROUP
        wanted = [
            (kind, ordinal)
            for index, (kind, total) in enumerate(zip(self.kinds, self.totals, strict=True))
            for ordinal in range(self.made_before(first, total, index), self.made_before(first + size, total, index))
        ]
        words = draw_words(self.seed, block, 1, (2, groups))
        order = np.argsort(words[0], kind="stable")[: len(wanted)]
        offsets = (order * GROUP + 2 + take_bits(words[1][order], 0, 1)).tolist()
        picks = take_bits(words[1][order], 1, 32).tolist()
        entries = [
            Entry(offset, kind, ordinal, pick)
            for offset, pick, (kind, ordinal) in zip(offsets, picks, wanted, strict=True)
        ]
        return sorted(entries, key=lambda entry: entry.offset)

    def made_before(self, record: int, total: int, index: int) -> int:
        """Return how many of a kind lie before a record; even, and rare kinds not all in one block."""
        return (record * total * len(self.kinds) + index * self.count) // (self.count * len(self.kinds))


def kind_totals(count: int, kinds: tuple[Kind, ...]) -> list[int]:
    """Return how many of each kind an export holds: one of each while there is room, then by their shares."""
    totals = [0] * len(kinds)
    room = count // GROUP
    reject_room = int(count * REJECT_LIMIT)
    for lowest in (True, False):
        for index, kind in enumerate(kinds):
            wanted = 1 if lowest else max(1, round(count * kind.per_mille / 1000))
            granted = min(wanted - totals[index], room, reject_room if kind.reject else room)
            totals[index] += granted
            room -= granted
            reject_room -= granted if kind.reject else 0
    return totals
