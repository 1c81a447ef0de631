"""An export as blocks of lines: ordinary records, with the odd ones planted among them.

Ordinary records of a block depend on (seed, block, count) alone, as do the places of the odd ones; an odd
record may also repeat one of the first block or contradict one of the block before.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from hindcast.synthetic.draws import Integers
from hindcast.synthetic.output import write_answers, write_export
from hindcast.synthetic.places import GROUP, Entry, Kind, PlantingPlan, kind_name
from hindcast.synthetic.planted import DUPLICATE, Source
from hindcast.synthetic.spec import Answers, GenerateSpec
from hindcast.synthetic.tally import Tally

BLOCK_RECORDS = 10_000  # a few MB of text: numpy's calls are paid off, memory stays flat
OWN_ID_START = '{"event_id"'


@dataclass(frozen=True)
class Block:
    """Consecutive records of the export, the window they are from; times are epoch milliseconds."""

    first: int
    window_ms: tuple[int, int]
    at_ms: Integers
    event_types: tuple[str, ...]  # that `type_index` counts in
    type_index: Integers
    lines: list[str]


class Records(Protocol):
    """Draws blocks of ordinary records; those at offsets `own_ids` carry an own id in any case."""

    def draw_block(self, number: int, first: int, size: int, own_ids: Integers) -> Block: ...


@dataclass(frozen=True)
class Origins:
    """Earlier blocks that odd records are made from; each own id offered here is in no conflict yet."""

    first_block: Block | None = None
    last_block: Block | None = None
    own_ids: tuple[int, ...] = ()  # offsets in the last block


def write_planted(spec: GenerateSpec, records: Records, kinds: tuple[Kind, ...], is_array: bool = False) -> Answers:
    """Write the export and its answer key; both are complete or absent, whatever happens on the way."""
    tally = Tally()
    files = write_export(spec, make_blocks(spec, records, kinds, tally), is_array)
    answers = tally.answers(spec, files)
    write_answers(spec.out, answers)
    return answers


def make_blocks(spec: GenerateSpec, records: Records, kinds: tuple[Kind, ...], tally: Tally) -> Iterator[list[str]]:
    """Yield the lines block after block, counting them in `tally`."""
    plan = PlantingPlan(spec.seed, spec.count, kinds)
    origins = Origins()
    blocks = -(-spec.count // BLOCK_RECORDS)
    for number in range(blocks):
        first = spec.count * number // blocks
        size = spec.count * (number + 1) // blocks - first
        entries = plan.draw_entries(number, first, size) if spec.defects else []
        own_ids = [group_start(entry) for entry in entries if entry.kind.origin in {"own_id", "far_own_id"}]
        block = records.draw_block(number, first, size, np.array(own_ids, dtype=np.int64))
        yield plant_block(block, entries, origins, tally)
        origins = Origins(origins.first_block or block, block, free_own_ids(block, entries))
        if spec.progress is not None:
            spec.progress(first + size)


def plant_block(block: Block, entries: list[Entry], origins: Origins, tally: Tally) -> list[str]:
    """Return the block's lines with the odd ones in place, each made from an ordinary line."""
    lines = block.lines.copy()
    ordinary = np.ones(len(lines), dtype=np.bool_)
    far = 0
    for entry in entries:
        source = find_source(block, entry, origins, far)
        far += entry.kind.origin == "far_own_id"
        planted = entry.kind.make(source, entry.ordinal)
        name = kind_name(entry.kind)
        lines[entry.offset] = planted.text
        ordinary[entry.offset] = False
        tally.add_planted(name, planted)
        if entry.kind.again:
            lines[entry.offset + 1] = planted.text
            ordinary[entry.offset + 1] = False
            tally.add_planted(name, replace(planted, verdict=DUPLICATE))
    tally.add_ordinary(block, ordinary)
    return lines


def find_source(block: Block, entry: Entry, origins: Origins, nth_far: int) -> Source:
    """Return the record `entry` is made from, under the number of the place it goes to."""
    origin = entry.kind.origin
    if origin in {"place", "before"}:
        found = block, entry.offset - (origin == "before")
    elif origin == "far" and origins.first_block is not None:
        found = origins.first_block, entry.pick % (len(origins.first_block.lines) // GROUP) * GROUP
    elif origin == "far":
        found = block, entry.pick % (entry.offset // GROUP + 1) * GROUP
    elif origin == "far_own_id" and origins.last_block is not None and nth_far < len(origins.own_ids):
        found = origins.last_block, origins.own_ids[nth_far]
    else:
        found = block, group_start(entry)
    home, offset = found
    at_ms, event_type = int(home.at_ms[offset]), home.event_types[home.type_index[offset]]
    return Source(home.lines[offset], at_ms, event_type, block.first + entry.offset, block.window_ms)


def free_own_ids(block: Block, entries: list[Entry]) -> tuple[int, ...]:
    """Return the offsets of ordinary records with an own id that this block's entries leave alone."""
    taken = {group_start(entry) for entry in entries}
    starts = range(0, len(block.lines) - GROUP + 1, GROUP)
    return tuple(at for at in starts if at not in taken and block.lines[at].startswith(OWN_ID_START))


def group_start(entry: Entry) -> int:
    """Return the offset of the first record of the entry's group."""
    return entry.offset - entry.offset % GROUP
