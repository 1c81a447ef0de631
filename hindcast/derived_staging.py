"""Staging what events give rise to: candidates, beside the segment's events, a record batch a chunk.

Only formats that derive events have such a file. Which candidates count is decided when the manifest is sealed.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from hindcast.canonical import encode_value
from hindcast.event import Event
from hindcast.event_columns import EventColumns
from hindcast.formats.base import Format
from hindcast.formats.derived_events import Derived
from hindcast.staged_files import fetch_staged, keep_staged
from hindcast.staging import SCHEMA, ChunkWriter, StagedChunk, read_written, segment_path
from hindcast.times import from_microseconds

# `state` is canonical JSON, null for what is made once.
CANDIDATE_SCHEMA: Final = SCHEMA.append(pa.field("key", pa.binary(16))).append(pa.field("state", pa.string()))
SUFFIX: Final = "derived.arrow"


class DerivedStager:
    """Collects a segment's candidates; of those made once, a chunk keeps the earliest a key."""

    def __init__(self, module: Format, options: Mapping[str, bool], folder: Path, number: int) -> None:
        self._derive: Callable[[Event, Mapping[str, bool]], list[Derived]] | None = getattr(module, "derive", None)
        self._source, self._options = module.NAME, options
        self._path = segment_path(folder, number, SUFFIX)
        self._aside = segment_path(folder, number, f"derived-new-{os.getpid()}")
        self._writer: ChunkWriter | None = None
        self._groups = 0
        self._begin_chunk()

    def add(self, events: Sequence[Event], numbers: Sequence[int], offsets: Sequence[int]) -> None:
        """Derive from events, in their order, with the lines and byte offsets of their records."""
        if self._derive is None:
            return
        for event, number, offset in zip(events, numbers, offsets, strict=True):
            for found in self._derive(event, self._options):
                if found.state is not None:
                    self._states.append((found, number, offset))
                    continue
                earliest = self._once.get(found.key)
                if earliest is None or found.event.occurred_at < earliest[0].event.occurred_at:
                    self._once[found.key] = (found, number, offset)

    def end_chunk(self, chunk: StagedChunk) -> None:
        """Write the chunk's candidates, and note in it where and how many they are."""
        found = sorted([*self._once.values(), *self._states], key=lambda place: place[1])
        self._begin_chunk()
        if not found:
            return
        columns = EventColumns(self._source)
        columns.extend([d.event for d, _, _ in found], [n for _, n, _ in found], [o for _, _, o in found])
        table = columns.to_table()
        keys = pa.array([d.key for d, _, _ in found], pa.binary(16))
        states = [None if d.state is None else encode_value(d.state).decode() for d, _, _ in found]
        table = table.append_column("key", keys).append_column("state", pa.array(states, pa.string()))
        if self._writer is None:
            self._writer = ChunkWriter(self._aside, CANDIDATE_SCHEMA)
        chunk.derived_group, chunk.derived = self._writer.write(table), len(found)
        self._groups += 1
        if chunk.first_at is None:  # no event of its own
            chunk.first_at, chunk.last_at = map(from_microseconds, columns.time_range())

    def seal(self) -> None:
        """Let the file appear whole; without candidates there is none."""
        self._close()
        if self._groups:
            self._aside.rename(self._path)
        else:
            self._path.unlink(missing_ok=True)

    def discard(self) -> None:
        """Leave nothing of an attempt that failed; after `seal` there is nothing to leave."""
        self._close()
        self._aside.unlink(missing_ok=True)

    def _begin_chunk(self) -> None:
        self._once: dict[bytes, tuple[Derived, int, int]] = {}
        self._states: list[tuple[Derived, int, int]] = []

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def read_candidates(folder: Path, segment: int, group: int, columns: list[str] | None = None) -> pa.Table:
    """The candidates of one chunk, in file order; lines are within the segment."""
    return read_written(fetch_staged(segment_path(folder, segment, SUFFIX)), CANDIDATE_SCHEMA, group, columns)


CHOSEN_SCHEMA: Final = pa.schema(
    [
        ("chunk", pa.int32()),
        ("row", pa.int32()),  # among the chunk's candidates
        ("is_first", pa.bool_()),  # of its key in the export: what was before is in the table, if anywhere
        ("before", pa.string()),  # the state before; null for what is made once, and for the first
    ]
)


def write_chosen(folder: Path, chosen: pa.Table) -> None:
    """Write which candidates count, ordered by chunk and row."""
    pq.write_table(chosen, folder / "derived.parquet")
    keep_staged(folder / "derived.parquet")


def read_chosen(folder: Path, chunk: int) -> list[dict[str, Any]]:
    """The candidates of a chunk that count, as rows of CHOSEN_SCHEMA."""
    path = fetch_staged(folder / "derived.parquet")
    table, firsts = _load_chosen(path, path.stat().st_mtime_ns)
    begin, end = firsts.get(chunk, (0, 0))
    return list(table.slice(begin, end - begin).to_pylist())


@lru_cache(maxsize=2)
def _load_chosen(path: Path, changed_at_ns: int) -> tuple[pa.Table, dict[int, tuple[int, int]]]:
    table = pq.read_table(path, use_threads=False)
    places: dict[int, tuple[int, int]] = {}
    for index, chunk in enumerate(table["chunk"].to_pylist()):
        places[chunk] = (places.get(chunk, (index, index))[0], index + 1)
    return table, places
