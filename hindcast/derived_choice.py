"""Which candidates for derived events count, decided once when the export is staged, in order of time.

So neither parallel loading nor a restart can change it. Memory is bounded: keys are sorted in as many passes as their
number asks for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hindcast.derived_staging import CHOSEN_SCHEMA, read_candidates

CANDIDATES_A_PASS: Final = 4_000_000
_KEY: Final = np.dtype(
    [("key", ">u8", 2), ("at", "<i8"), ("chunk", "<i4"), ("row", "<i4"), ("is_state", "?"), ("state", "<i8")]
)


@dataclass(frozen=True)
class CandidatePlace:
    """Where the candidates of a chunk (by its number) are staged."""

    chunk: int
    segment: int
    group: int
    rows: int


def choose_derived(folder: Path, places: Sequence[CandidatePlace]) -> pa.Table:
    """Choose among all candidates: of those made once the earliest a key, by time and place in the export; of states
    each that is another than the one before. Rows of CHOSEN_SCHEMA, ordered by chunk and row."""
    passes = max(1, -(-sum(place.rows for place in places) // CANDIDATES_A_PASS))
    chosen: list[tuple[int, int, bool, str | None]] = []
    for number in range(passes):
        keys = np.concatenate([np.empty(0, _KEY), *_read_keys(folder, places, passes, number)])
        chosen.extend(_choose(folder, {place.chunk: place for place in places}, keys))
    chosen.sort(key=lambda found: found[:2])
    columns = list(zip(*chosen, strict=True)) or [(), (), (), ()]
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, CHOSEN_SCHEMA, strict=True)], schema=CHOSEN_SCHEMA)


def _read_keys(
    folder: Path, places: Sequence[CandidatePlace], passes: int, number: int
) -> Iterator[npt.NDArray[np.void]]:
    for place in places:
        table = read_candidates(folder, place.segment, place.group, ["key", "created_at", "state"])
        keys = np.empty(place.rows, _KEY)
        data = table["key"].combine_chunks()
        keys["key"] = np.frombuffer(data.buffers()[1], ">u8", 2 * place.rows, 16 * data.offset).reshape(-1, 2)
        keys["at"] = table["created_at"].cast(pa.int64()).to_numpy()
        keys["chunk"], keys["row"] = place.chunk, np.arange(place.rows)
        states = table["state"].to_pylist()
        keys["is_state"] = [state is not None for state in states]
        keys["state"] = [hash(state) for state in states]
        yield keys if passes == 1 else keys[keys["key"][:, 1] % passes == number]


def _choose(
    folder: Path, places: dict[int, CandidatePlace], keys: npt.NDArray[np.void]
) -> Iterator[tuple[int, int, bool, str | None]]:
    if not len(keys):
        return
    high, low = keys["key"][:, 0].astype(np.uint64), keys["key"][:, 1].astype(np.uint64)
    keys = keys[np.lexsort((keys["row"], keys["chunk"], keys["at"], high, low))]
    is_first = np.concatenate([[True], (keys["key"][1:] != keys["key"][:-1]).any(axis=1)])
    is_other = np.concatenate([[True], keys["state"][1:] != keys["state"][:-1]])
    before: str | None = None
    for index in np.flatnonzero(is_first | is_other & keys["is_state"]):
        chunk, row = int(keys["chunk"][index]), int(keys["row"][index])
        yield chunk, row, bool(is_first[index]), None if is_first[index] else before
        if keys["is_state"][index]:
            before = _read_states(folder, places[chunk].segment, places[chunk].group)[row]


@lru_cache(maxsize=64)
def _read_states(folder: Path, segment: int, group: int) -> list[str]:
    return list(read_candidates(folder, segment, group, ["state"])["state"].to_pylist())
