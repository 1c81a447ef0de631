"""A chunk's events as the loader and the verifier see them: read from staging, without those that repeat another."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hindcast.event import CONTENT_FIELDS
from hindcast.manifest import Chunk, read_repeats
from hindcast.staging import SCHEMA, read_chunk
from hindcast.times import from_microseconds


@dataclass(frozen=True)
class StagedRows:
    """Staged events in file order. `line` in `table` is the line of the part; rows are named by their index."""

    table: pa.Table
    source: str

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def ids(self) -> list[bytes]:
        """Event ids, 16 bytes each."""
        return list(self.table["event_id"].to_pylist())

    @property
    def id_matrix(self) -> npt.NDArray[np.uint8]:
        """Event ids as the rows of a matrix."""
        return _matrix(self.table["event_id"])

    @property
    def hash_matrix(self) -> npt.NDArray[np.uint8]:
        """Content hashes as the rows of a matrix."""
        return _matrix(self.table["content_hash"])

    @cached_property
    def hashes(self) -> list[bytes]:
        """Content hashes, 16 bytes each."""
        return list(self.table["content_hash"].to_pylist())

    @cached_property
    def microseconds(self) -> npt.NDArray[np.int64]:
        """Times in microseconds since 1970."""
        times: npt.NDArray[np.int64] = self.table["created_at"].cast(pa.int64()).to_numpy()
        return times

    def by_month(self) -> Iterator[tuple[int, int, npt.NDArray[np.uint8]]]:
        """First time, last time (in microseconds) and the ids (16 bytes a row) of each UTC month, in no order."""
        months = self.microseconds.astype("datetime64[us]").astype("datetime64[M]")
        ids = self.id_matrix
        order = np.argsort(months, kind="stable")
        for places in np.split(order, np.flatnonzero(np.diff(months[order])) + 1):
            if len(places):
                times = self.microseconds[places]
                yield int(times.min()), int(times.max()), ids[places]

    @property
    def has_own_ids(self) -> bool:
        """True when some event carries the source's own id."""
        return bool(self.table["source_event_id"].null_count < len(self))

    def take(self, indexes: list[int]) -> "StagedRows":
        """Those rows, in the order given."""
        taken = self.table.take(pa.array(indexes, pa.int64())) if indexes else self.table.slice(0, 0)
        return StagedRows(taken, self.source)

    def where(self, is_wanted: npt.NDArray[np.bool_]) -> "StagedRows":
        """The rows of which that is so."""
        return StagedRows(self.table.filter(pa.array(is_wanted)), self.source)

    def without_lines(self, lines: set[int]) -> "StagedRows":
        """The rows of other lines than these."""
        if not lines:
            return self
        return self.where(~np.isin(self.table["line"].to_numpy(), list(lines)))

    def line(self, index: int) -> int:
        """The line of a row in its part."""
        return int(self.table["line"][index].as_py())

    def values(self, index: int) -> dict[str, Any]:
        """The compared fields of a row by name; the payload as canonical JSON text."""
        names = [name for name in (*CONTENT_FIELDS, "payload") if name != "source"]
        values = {name: self.table[name][index].as_py() for name in names}
        return values | {"source": self.source, "created_at": from_microseconds(int(self.microseconds[index]))}

    def days(self) -> set[date]:
        """UTC days of the rows."""
        days = np.unique(self.microseconds.astype("datetime64[us]").astype("datetime64[D]"))
        return set(days.tolist())

    def count_sanitised(self, indexes: list[int]) -> int:
        """How many of those rows were sanitised."""
        flags = self.table["is_sanitised"].to_numpy()
        return int(flags[indexes].sum()) if indexes else 0

    @cached_property
    def digest(self) -> str:
        """Digest of the rows as a set."""
        return digest_rows(self.id_matrix, self.hash_matrix)


def read_staged_rows(folder: Path, chunk: Chunk, source: str) -> StagedRows:
    """Read a chunk's events back from staging, without those that repeat another of the export."""
    if chunk.staged_as.row_group < 0:
        return StagedRows(SCHEMA.empty_table(), source)
    table = read_chunk(folder, chunk.segment, chunk.staged_as.row_group)
    lines = pa.array(table["line"].to_numpy() + chunk.line_base)
    table = table.set_column(table.schema.get_field_index("line"), "line", lines)
    if chunk.duplicate or chunk.conflict:
        is_kept = np.ones(table.num_rows, dtype=bool)
        is_kept[list(read_repeats(folder, chunk.number))] = False
        table = table.filter(pa.array(is_kept))
    return StagedRows(table.combine_chunks(), source)


def digest_rows(ids: npt.NDArray[np.uint8], hashes: npt.NDArray[np.uint8]) -> str:
    """Digest of rows given as matrices of 16 bytes a row, event ids and content hashes, whatever their order."""
    words = ids.view(">u8").astype(np.uint64)  # in the machine's own order they are compared faster
    order = np.lexsort((words[:, 1], words[:, 0]))
    return hashlib.sha256(np.hstack([ids[order], hashes[order]]).tobytes()).hexdigest()


def to_matrix(values: list[bytes]) -> npt.NDArray[np.uint8]:
    """Values of 16 bytes as the rows of a matrix."""
    return np.frombuffer(b"".join(values), np.uint8).reshape(-1, 16)


def as_array(column: pa.ChunkedArray) -> pa.Array:
    """A column in one piece; Arrow would copy one that is."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _matrix(column: pa.ChunkedArray) -> npt.NDArray[np.uint8]:
    array = as_array(column)
    return np.frombuffer(array.buffers()[1] or b"", np.uint8, 16 * len(array), 16 * array.offset).reshape(-1, 16)
