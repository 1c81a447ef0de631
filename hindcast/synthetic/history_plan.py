"""Which odd record goes where. Shares are per thousand records; every kind gets a turn in small exports too.

Records are taken in groups of five, and only the third or the fourth of a group may be odd (for one kind, the
next as well): there is always an ordinary record to repeat, and no odd record touches another.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hindcast.synthetic import history_rejects as rejects
from hindcast.synthetic import history_repeats as repeats
from hindcast.synthetic import history_spellings as spellings
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


# In the order in which small exports get them.
KINDS = (
    Kind(repeats.repeat, 2.0, "before", "repeat_adjacent"),
    Kind(repeats.respelled, 1.5, "before", "respelled_adjacent"),
    Kind(repeats.repeat, 2.0, "far", "repeat_far"),
    Kind(repeats.respelled, 2.0, "far", "respelled_far"),
    Kind(repeats.respelled, 1.0, "own_id", "respelled_own_id"),
    Kind(repeats.conflict_content, 0.6, "own_id"),
    Kind(repeats.conflict_time, 0.4, "own_id"),
    Kind(repeats.conflict_content, 0.3, "far_own_id", "conflict_far"),
    Kind(rejects.malformed, 0.9, reject=True),
    Kind(rejects.invalid_utf8, 0.4, reject=True),
    Kind(rejects.future_time, 0.3, reject=True),
    Kind(rejects.impossible_time, 0.4, reject=True),
    Kind(rejects.missing_event_type, 0.4, reject=True),
    Kind(rejects.missing_time, 0.4, reject=True),
    Kind(rejects.ancient_time, 0.3, reject=True),
    Kind(rejects.too_long, 0.3, reject=True),
    Kind(spellings.naive_time, 4.0),
    Kind(spellings.nul, 0.5),
    Kind(spellings.lone_surrogate, 0.5),
    Kind(spellings.late, 10.0),
    Kind(spellings.camel_case, 8.0),
    Kind(spellings.other_names, 6.0),
    Kind(spellings.epoch_time, 3.0),
    Kind(spellings.zoned_time, 6.0),
    Kind(spellings.unknown_properties, 2.0),
    Kind(spellings.blank_lines, 1.0),
    Kind(spellings.odd_payload, 1.5),
    Kind(spellings.personal, 1.5),
    Kind(spellings.times_differ, 0.8),
    Kind(spellings.nul, 0.2, name="nul_repeated", again=True),
    Kind(spellings.carriage_return, 0.5),
    Kind(spellings.integer_ids, 1.0),
    Kind(spellings.empty_ids, 1.0),
    Kind(spellings.custom_type, 1.0),
    Kind(spellings.escaped_text, 0.5),
    Kind(spellings.times_agree, 0.5),
    Kind(spellings.duplicate_key, 0.3),
    Kind(spellings.longest_ids, 0.1),
    Kind(rejects.not_an_object, 0.3, reject=True),
    Kind(rejects.wrong_type, 0.3, reject=True),
    Kind(rejects.too_deep, 0.2, reject=True),
    Kind(rejects.huge_number, 0.2, reject=True),
)


class HistoryPlan:
    """Says for any block which of its records are odd, from seed and count alone."""

    def __init__(self, seed: int, count: int) -> None:
        self.seed = seed
        self.count = count
        self.totals = kind_totals(count)

    def draw_entries(self, block: int, first: int, size: int) -> list[Entry]:
        """Place this block's part of each kind's total at random in its groups; ordered by offset."""
        groups = size // GROUP
        wanted = [
            (kind, ordinal)
            for index, (kind, total) in enumerate(zip(KINDS, self.totals, strict=True))
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
        return (record * total * len(KINDS) + index * self.count) // (self.count * len(KINDS))


def kind_totals(count: int) -> list[int]:
    """Return how many of each kind an export holds: one of each while there is room, then by their shares."""
    totals = [0] * len(KINDS)
    room = count // GROUP
    reject_room = int(count * REJECT_LIMIT)
    for lowest in (True, False):
        for index, kind in enumerate(KINDS):
            wanted = 1 if lowest else max(1, round(count * kind.per_mille / 1000))
            granted = min(wanted - totals[index], room, reject_room if kind.reject else room)
            totals[index] += granted
            room -= granted
            reject_room -= granted if kind.reject else 0
    return totals
