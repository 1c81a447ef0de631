"""Finding the records of an export that claim to be the same event, before anything is loaded.

Decided here once, in file order, so that parallel loading cannot change which of them wins. Memory is bounded: the
identities (16 bytes a record) are sorted in as many passes as their number asks for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from hindcast.staging import read_chunk

RECORDS_A_PASS: Final = 6_000_000

_KEY: Final = np.dtype([("identity", ">u8", 2), ("content", ">u8", 2), ("row", "<i8")])


@dataclass(frozen=True)
class ChunkPlace:
    """Where a chunk's events are staged, and how many they are."""

    segment: int
    row_group: int
    rows: int


@dataclass(frozen=True)
class Repeat:
    """A record that repeats the `winner`: places are (index of the chunk, row in it)."""

    chunk: int
    row: int
    winner_chunk: int
    winner_row: int
    is_conflict: bool


def find_repeats(folder: Path, places: Sequence[ChunkPlace], last_wins: bool) -> list[Repeat]:
    """List the records that repeat another, in file order; the earliest of equals wins, or the last if asked.

    A repeat with the winner's content is a duplicate, any other a conflict.
    """
    starts = np.cumsum([0] + [place.rows for place in places])
    total = int(starts[-1])
    passes = max(1, -(-total // RECORDS_A_PASS))
    found: list[Repeat] = []
    for number in range(passes):
        keys = np.concatenate([np.empty(0, _KEY), *_read_keys(folder, places, starts, passes, number)])
        found.extend(_repeats_among(keys, starts, last_wins))
    return sorted(found, key=lambda repeat: (repeat.chunk, repeat.row))


def _read_keys(
    folder: Path, places: Sequence[ChunkPlace], starts: npt.NDArray[np.int64], passes: int, number: int
) -> Iterator[npt.NDArray[np.void]]:
    for index, place in enumerate(places):
        if not place.rows:
            continue
        table = read_chunk(folder, place.segment, place.row_group, ["identity", "content_hash"])
        keys = np.empty(place.rows, _KEY)
        for column, field in (("identity", "identity"), ("content_hash", "content")):
            data = table[column].combine_chunks()
            buffer = np.frombuffer(data.buffers()[1], ">u8", count=2 * place.rows, offset=16 * data.offset)
            keys[field] = buffer.reshape(-1, 2)
        keys["row"] = np.arange(starts[index], starts[index] + place.rows)
        yield keys if passes == 1 else keys[keys["identity"][:, 1] % passes == number]


def _repeats_among(keys: npt.NDArray[np.void], starts: npt.NDArray[np.int64], last_wins: bool) -> Iterator[Repeat]:
    if not len(keys):
        return
    low = keys["identity"][:, 1].astype(np.uint64)
    order = np.argsort(low, kind="stable")
    is_equal = low[order][1:] == low[order][:-1]
    suspects = keys[order[np.concatenate([is_equal, [False]]) | np.concatenate([[False], is_equal])]]
    if not len(suspects):
        return
    high = suspects["identity"][:, 0].astype(np.uint64)
    suspects = suspects[np.lexsort((suspects["row"], high, suspects["identity"][:, 1].astype(np.uint64)))]
    is_new = np.concatenate([[True], (suspects["identity"][1:] != suspects["identity"][:-1]).any(axis=1)])
    begins = np.flatnonzero(is_new)
    ends = np.append(begins[1:], len(suspects))
    winners = ends - 1 if last_wins else begins
    winner_of = np.repeat(winners, ends - begins)
    is_repeat = winner_of != np.arange(len(suspects))
    is_conflict = (suspects["content"] != suspects["content"][winner_of]).any(axis=1)
    places = np.flatnonzero(is_repeat)
    rows, winning = suspects["row"][places], suspects["row"][winner_of[places]]
    chunks, winner_chunks = (np.searchsorted(starts, found, side="right") - 1 for found in (rows, winning))
    columns = (chunks, rows - starts[chunks], winner_chunks, winning - starts[winner_chunks], is_conflict[places])
    yield from map(Repeat, *(column.tolist() for column in columns))
