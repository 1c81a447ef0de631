"""Staged chunks: typed, immutable events in Arrow's file format, a file a segment, a record batch a chunk.

A segment's `.json` is written last: a segment that has one is whole, and is not staged again.
"""

import os
import re
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa

from hindcast.errors import ExportError

EVENTS_SUFFIX: Final = "arrow"
KEPT_OF_REJECT: Final = 2_000  # characters of raw text kept with a reject
SCHEMA: Final = pa.schema(
    [
        ("event_id", pa.binary(16)),
        ("created_at", pa.timestamp("us", tz="UTC")),
        ("tenant", pa.string()),
        ("event_type", pa.string()),
        ("user_id", pa.string()),
        ("anonymous_id", pa.string()),
        ("session_id", pa.string()),
        ("course_id", pa.string()),
        ("lesson_id", pa.string()),
        ("module_id", pa.string()),
        ("user_agent", pa.string()),
        ("payload", pa.string()),
        ("source_event_id", pa.string()),
        ("line", pa.int64()),  # within the segment, from 1
        ("byte_offset", pa.int64()),  # in the part, decompressed
        ("identity", pa.binary(16)),
        ("content_hash", pa.binary(16)),
        ("is_sanitised", pa.bool_()),
    ]
)


class Reject(msgspec.Struct):
    """A record set aside. `line` is counted within the segment until the manifest is made."""

    part: str
    line: int
    byte_offset: int
    code: str
    sentence: str
    raw: str


class StagedChunk(msgspec.Struct):
    """What one transaction loads. Lines are within the segment, from 1; bytes are in the part, decompressed."""

    records: int = 0
    staged: int = 0
    rejected: int = 0
    skipped: int = 0
    out_of_window: int = 0
    first_line: int = 0
    last_line: int = 0
    first_byte: int = 0
    last_byte: int = 0
    row_group: int = -1
    derived_group: int = -1  # of its candidates for derived events
    derived: int = 0  # how many those are
    first_at: datetime | None = None
    last_at: datetime | None = None


class Segment(msgspec.Struct):
    """What staging one byte range of a part found."""

    number: int
    part: str
    start: int
    lines: int = 0
    bytes_read: int = 0
    chunks: list[StagedChunk] = []
    naive_times: int = 0
    sanitised: int = 0
    months: list[tuple[str, str, int]] = []
    rejects: dict[str, int] = {}
    skips: dict[str, int] = {}
    notes: dict[str, int] = {}
    unknown_properties: dict[str, int] = {}
    is_damaged: bool = False


def segment_path(folder: Path, number: int, suffix: str) -> Path:
    """Path of one of a segment's files: `arrow`, `rejects.jsonl` or `json`."""
    return folder / f"segment-{number:05d}.{suffix}"


def seal_segment(folder: Path, segment: Segment) -> None:
    """Declare a segment whole: its facts appear in one rename after its data."""
    path = segment_path(folder, segment.number, "json")
    aside = path.with_suffix(f".new-{os.getpid()}")
    aside.write_bytes(msgspec.json.encode(segment))
    aside.rename(path)


def read_segment(folder: Path, number: int) -> Segment | None:
    """A segment's facts, None when it is not (wholly) staged."""
    path = segment_path(folder, number, "json")
    return msgspec.json.decode(path.read_bytes(), type=Segment) if path.exists() else None


class ChunkWriter:
    """Writes the chunks of a segment, one after the other."""

    def __init__(self, path: Path) -> None:
        # Against Parquet a third more bytes, and less than half the time to read: each chunk is read four times.
        options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
        self._sink = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._sink, SCHEMA, options=options)
        self._batches = 0

    def write(self, events: pa.Table) -> int:
        """Write a chunk; returns its number, by which `read_chunk` finds it."""
        (batch,) = events.combine_chunks().to_batches()
        self._writer.write_batch(batch)
        self._batches += 1
        return self._batches - 1

    def close(self) -> None:
        """Complete the file."""
        self._writer.close()
        self._sink.close()


def read_chunk(folder: Path, segment: int, row_group: int, columns: list[str] | None = None) -> pa.Table:
    """The events of one chunk, in file order; of `columns`, in the schema's order, when they are named."""
    path = segment_path(folder, segment, EVENTS_SUFFIX)
    fields = None if columns is None else sorted(SCHEMA.get_field_index(name) for name in columns)
    options = pa.ipc.IpcReadOptions(use_threads=False, included_fields=fields)
    try:
        with pa.memory_map(str(path)) as source:
            return pa.Table.from_batches([pa.ipc.open_file(source, options=options).get_batch(row_group)])
    except FileNotFoundError:
        raise ExportError(f"{path.name}: staged events are gone; run the backfill again to stage them") from None


def show_raw(raw: bytes, redact: Callable[[str], str]) -> str:
    """What is kept of a rejected record: its beginning as text, bytes that are none escaped, personal values hidden."""
    text = raw[: 2 * KEPT_OF_REJECT].decode("utf-8", "backslashreplace")
    if len(raw) > 2 * KEPT_OF_REJECT:
        # Half an address is not recognised as one; only the end is searched, for the search is slow on long text.
        text = text[:-_CUT_WORD_LENGTH] + _CUT_WORD.sub("", text[-_CUT_WORD_LENGTH:])
    without_nul = text.replace("\x00", "")  # personal values in UTF-16 are personal too
    shown = redact(without_nul)
    if shown == without_nul:
        shown = text.replace("\x00", "\\x00")
    return shown[:KEPT_OF_REJECT]


def count_months(events: pa.Table) -> Counter[tuple[str, str]]:
    """Count staged events by UTC month (`2024-01`) and event type."""
    months = events["created_at"].cast(pa.int64()).to_numpy().astype("datetime64[us]").astype("datetime64[M]")
    types = events["event_type"].combine_chunks().dictionary_encode()
    keys = months.astype(np.int64) * (len(types.dictionary) + 1) + types.indices.to_numpy(zero_copy_only=False)
    names = types.dictionary.to_pylist()
    counted = zip(*np.unique(keys, return_counts=True), strict=True)
    return Counter(
        {
            (str(np.datetime64(int(key) // (len(names) + 1), "M")), names[int(key) % (len(names) + 1)]): int(count)
            for key, count in counted
        }
    )


def read_rejects(folder: Path, number: int) -> list[Reject]:
    """A segment's rejects in file order."""
    path = segment_path(folder, number, "rejects.jsonl")
    return _REJECT.decode_lines(path.read_bytes()) if path.exists() else []


_REJECT: Final = msgspec.json.Decoder(Reject)
_CUT_WORD_LENGTH: Final = 320
_CUT_WORD: Final = re.compile(r"[^\s\"',:;]{1,320}\Z")
