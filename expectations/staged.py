"""Staged events for a gate, read from staging a few columns at a time: all at once they would be the widest frame."""

from collections.abc import Collection, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hindcast.copying import format_ids
from hindcast.fingerprints import file_state
from hindcast.manifest import Chunk
from hindcast.staging import EVENTS_SUFFIX, SCHEMA, read_chunk, segment_path

if TYPE_CHECKING:
    import pandas
    import pyarrow as pa

_TEXTS: Final = tuple(name for name, kind in zip(SCHEMA.names, SCHEMA.types, strict=True) if kind == "string")
_PLACE: Final = ("part", "line")
_WIDE: Final = "payload"  # most of an event: read when asked for, and let go


class StagedEvents:
    """The staged events of some chunks, in order, with part and line, as columns of a frame."""

    def __init__(self, folder: Path, chunks: Iterable[Chunk], columns: Collection[str] | None = None) -> None:
        """`columns` are those that will be looked at, beside part and line; None: any."""
        self._folder = folder
        self._chunks = [chunk for chunk in chunks if chunk.staged_as.row_group >= 0]
        self._wanted = [name for name in (*_TEXTS, "created_at", "event_id") if columns is None or name in columns]

    def __len__(self) -> int:
        return sum(chunk.staged_as.staged for chunk in self._chunks)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns there are."""
        return (*self._wanted, *_PLACE)

    def stamps(self) -> tuple[tuple[object, ...], ...]:
        """What tells these events from others: the state of each chunk's file, and its place in that and in the export.

        Empty when a file is not here: on S3 until it is read.
        """
        numbers = {chunk.segment for chunk in self._chunks}
        try:
            states = {n: file_state(segment_path(self._folder, n, EVENTS_SUFFIX).stat()) for n in numbers}
        except FileNotFoundError:
            return ()
        return tuple(
            (chunk.part, chunk.line_base, chunk.staged_as.row_group, chunk.staged_as.staged, *states[chunk.segment])
            for chunk in self._chunks
        )

    def read(self, names: Sequence[str] | None) -> "pandas.DataFrame":
        """These columns, or all, with rows numbered from 0. Texts are `str`, which GX reads fastest."""
        import numpy
        import pandas
        import pyarrow as pa

        names = self.columns if names is None else names
        columns = {name: self._read(_WIDE)[name] if name == _WIDE else self._narrow[name] for name in names}
        # Arrow's texts are pandas' texts without a copy; `ArrowDtype` would be nine times slower in GX.
        texts = {pa.string(): pandas.StringDtype(na_value=numpy.nan)}
        frame: pandas.DataFrame = pa.table(columns).to_pandas(types_mapper=texts.get)
        return frame

    def row(self, position: int, names: Sequence[str]) -> dict[str, Any]:
        """The values of one row."""
        if set(names) <= set(_PLACE):  # by far the most: to go by way of pandas takes milliseconds
            return {name: self._narrow[name][position].as_py() for name in names}
        if set(names) <= set(self._narrow.column_names):
            found = self._narrow.select(list(names)).slice(position, 1).to_pandas().to_dict("list")
            return {str(name): values[0] for name, values in found.items()}
        first = 0
        for chunk in self._chunks:
            if position < first + chunk.staged_as.staged:
                found = self._read_chunk(chunk, names).slice(position - first, 1).to_pandas().to_dict("list")
                return {str(name): values[0] for name, values in found.items()}
            first += chunk.staged_as.staged
        raise IndexError(f"row {position} of {first}")

    @cached_property
    def _narrow(self) -> "pa.Table":
        return self._read(*(name for name in self._wanted if name != _WIDE), *_PLACE)

    def _read(self, *names: str) -> "pa.Table":
        import pyarrow as pa

        return pa.concat_tables([self._read_chunk(chunk, names) for chunk in self._chunks])

    def _read_chunk(self, chunk: Chunk, names: Sequence[str]) -> "pa.Table":
        import pyarrow as pa

        staged = [name for name in names if name != "part"]
        table = read_chunk(self._folder, chunk.segment, chunk.staged_as.row_group, staged)
        columns = {name: format_ids(table[name]) if name == "event_id" else table[name] for name in staged}
        if "line" in names:
            columns["line"] = pa.array(table["line"].to_numpy() + chunk.line_base)
        if "part" in names:
            columns["part"] = pa.repeat(pa.scalar(chunk.part), len(table))
        return pa.table(columns)
