"""Finding the records of an export that claim to be the same event, before anything is loaded.

Decided here once, in file order, so that parallel loading cannot change which of them wins. Memory is bounded: half of
each identity (8 bytes a record) is sorted, in as many passes as their number asks for; only of records that share that
half with another the whole is read.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hindcast.staging import count_months, read_chunk

RECORDS_A_PASS: Final = 3_000_000
_REPEATS_A_CALL: Final = 4_000
_ROOM_BEYOND: Final = 4096  # halves more than an eighth over the average of the passes

# Runs calls of a worker's function and gives their results in any order.
Run = Callable[[str, Iterable[tuple[object, ...]]], Iterator[Any]]

_KINDS: Final = (np.int32, np.int32, np.int32, np.int32, np.bool_)
_KEY: Final = np.dtype([("identity", ">u8", 2), ("content", ">u8", 2), ("row", "<i8")])


@dataclass(frozen=True)
class ChunkPlace:
    """Where a chunk's events are staged, and how many they are."""

    segment: int
    row_group: int
    rows: int


class Repeat(NamedTuple):
    """A record that repeats the `winner`: places are (index of the chunk, row in it)."""

    chunk: int
    row: int
    winner_chunk: int
    winner_row: int
    is_conflict: bool


@dataclass(frozen=True)
class Repeats:
    """Records that repeat another, as columns, in file order: one in a hundred of twenty million is many objects."""

    chunk: npt.NDArray[np.int32]
    row: npt.NDArray[np.int32]
    winner_chunk: npt.NDArray[np.int32]
    winner_row: npt.NDArray[np.int32]
    is_conflict: npt.NDArray[np.bool_]

    @classmethod
    def none(cls) -> "Repeats":
        """Of an export in which nothing repeats."""
        columns: list[npt.NDArray[Any]] = [np.empty(0, kind) for kind in _KINDS]
        return cls(*columns)

    def __len__(self) -> int:
        return len(self.chunk)

    def __iter__(self) -> Iterator[Repeat]:
        return map(Repeat._make, zip(*(column.tolist() for column in self.columns()), strict=True))

    def where(self, is_wanted: npt.NDArray[np.bool_]) -> "Repeats":
        """Those of which that is so."""
        return Repeats(*(column[is_wanted] for column in self.columns()))

    def slice(self, first: int, end: int) -> "Repeats":
        """Those from the `first` up to `end`."""
        return Repeats(*(column[first:end] for column in self.columns()))

    def per_chunk(self, chunks: int) -> list[int]:
        """How many each of so many chunks has."""
        return list(np.bincount(self.chunk, minlength=chunks).tolist())

    def by_chunk(self) -> Iterator[tuple[int, list[int]]]:
        """Each chunk that has some, and their rows in it."""
        numbers, begins = np.unique(self.chunk, return_index=True)
        ends = [*begins[1:].tolist(), len(self)]
        for number, begin, end in zip(numbers.tolist(), begins.tolist(), ends, strict=len(numbers) > 0):
            yield number, self.row[begin:end].tolist()

    def columns(self) -> tuple[npt.NDArray[Any], ...]:
        """All of them, in the order of the fields."""
        return self.chunk, self.row, self.winner_chunk, self.winner_row, self.is_conflict


def find_repeats(folder: Path, places: Sequence[ChunkPlace], last_wins: bool, run: Run) -> Repeats:
    """List the records that repeat another, in file order; the earliest of equals wins, or the last if asked.

    A repeat with the winner's content is a duplicate, any other a conflict. Each pass is a call of `run`.
    """
    passes = max(1, -(-sum(place.rows for place in places) // RECORDS_A_PASS))
    calls = [(folder, places, last_wins, passes, number) for number in range(passes)]
    found = [Repeats.none(), *run("hindcast.repeats:find_in_pass", calls)]
    columns = [np.concatenate(parts) for parts in zip(*(repeats.columns() for repeats in found), strict=True)]
    order = np.lexsort((columns[1], columns[0]))
    return Repeats(*(column[order] for column in columns))


def find_in_pass(folder: Path, places: Sequence[ChunkPlace], last_wins: bool, passes: int, number: int) -> Repeats:
    """What one of so many passes finds, in no order. May run in a worker."""
    shared = _find_shared(folder, places, passes, number)
    if not len(shared):
        return Repeats.none()
    starts = np.cumsum([0] + [place.rows for place in places])
    keys = np.concatenate([np.empty(0, _KEY), *_read_keys(folder, places, starts, shared)])
    return _repeats_among(keys, starts, last_wins)


def sum_repeated(
    folder: Path, places: Sequence[ChunkPlace], repeats: Repeats, run: Run
) -> tuple[Counter[tuple[str, str]], int]:
    """How many repeats there are of each month and type, and how many of all were sanitised."""
    firsts = range(0, len(repeats), _REPEATS_A_CALL)
    calls = [(folder, places, repeats.slice(first, first + _REPEATS_A_CALL)) for first in firsts]
    months: Counter[tuple[str, str]] = Counter()
    sanitised = 0
    for counted, more in run("hindcast.repeats:count_repeated", calls):
        months.update(counted)
        sanitised += more
    return months, sanitised


def count_repeated(
    folder: Path, places: Sequence[ChunkPlace], repeats: Repeats
) -> tuple[Counter[tuple[str, str]], int]:
    """What `sum_repeated` sums, of some repeats. May run in a worker."""
    columns = ["created_at", "event_type", "is_sanitised"]
    events = pa.concat_tables(
        [
            read_chunk(folder, places[number].segment, places[number].row_group, columns).take(rows)
            for number, rows in repeats.by_chunk()
        ]
    )
    return count_months(events), sum(events["is_sanitised"].to_pylist())


def _find_shared(folder: Path, places: Sequence[ChunkPlace], passes: int, number: int) -> npt.NDArray[np.uint64]:
    """Low halves of identities that more than one record has, in order; of those that this pass is about."""
    total = sum(place.rows for place in places)
    lows, filled = np.empty(total if passes == 1 else total // passes * 9 // 8 + _ROOM_BEYOND, np.uint64), 0
    for place in places:
        if not place.rows:
            continue
        low = _words(read_chunk(folder, place.segment, place.row_group, ["identity"]), "identity")[:, 1]
        if passes > 1:
            low = low[low % passes == number]
        if filled + len(low) > len(lows):  # identities are hashes: a part is never so much larger than the others
            lows = np.concatenate([lows[:filled], np.empty(len(lows) // 2 + len(low), np.uint64)])
        lows[filled : filled + len(low)] = low
        filled += len(low)
    lows = lows[:filled]
    lows.sort()
    return np.unique(lows[1:][lows[1:] == lows[:-1]])


def _read_keys(
    folder: Path, places: Sequence[ChunkPlace], starts: npt.NDArray[np.int64], shared: npt.NDArray[np.uint64]
) -> Iterator[npt.NDArray[np.void]]:
    for index, place in enumerate(places):
        if not place.rows:
            continue
        table = read_chunk(folder, place.segment, place.row_group, ["identity", "content_hash"])
        identities = _words(table, "identity")
        low = identities[:, 1].astype(np.uint64)
        rows = np.flatnonzero(shared[np.searchsorted(shared, low).clip(max=len(shared) - 1)] == low)
        keys = np.empty(len(rows), _KEY)
        keys["identity"], keys["content"] = identities[rows], _words(table, "content_hash")[rows]
        keys["row"] = starts[index] + rows
        yield keys


def _words(table: pa.Table, column: str) -> npt.NDArray[Any]:
    """Values of 16 bytes as two numbers each, the high half first."""
    data = table[column].combine_chunks()
    return np.frombuffer(data.buffers()[1], ">u8", count=2 * len(data), offset=16 * data.offset).reshape(-1, 2)


def _repeats_among(keys: npt.NDArray[np.void], starts: npt.NDArray[np.int64], last_wins: bool) -> Repeats:
    high, low = (keys["identity"][:, half].astype(np.uint64) for half in (0, 1))
    suspects = keys[np.lexsort((keys["row"], high, low))]
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
    return Repeats(*(column.astype(kind) for column, kind in zip(columns, _KINDS, strict=True)))
