"""COPY of staged rows into the table: in binary from the kernel, or as CSV from Arrow, cheaper than Python's rows."""

import io
from typing import Final

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa
import pyarrow.csv as pa_csv
from psycopg import sql

from hindcast.kernel import _kernel, has_kernel
from hindcast.kernel_rows import TEXTS, to_buffers
from hindcast.staged_rows import StagedRows

COLUMNS: Final = (
    "event_id",
    "created_at",
    "source",
    "tenant",
    "event_type",
    "user_id",
    "anonymous_id",
    "session_id",
    "course_id",
    "lesson_id",
    "module_id",
    "user_agent",
    "payload",
    "source_event_id",
    "import_chunk_id",
    "export_line",
    "imported_at",
)
_SENT_COLUMNS: Final = (
    "event_id", "created_at", "source", *TEXTS, "import_chunk_id", "export_line", "imported_at",
)  # fmt: skip
_COPY_BINARY: Final = sql.SQL("COPY analytics_events ({}) FROM STDIN (FORMAT binary)").format(
    sql.SQL(", ").join(map(sql.Identifier, _SENT_COLUMNS))
)
_COPY: Final = sql.SQL("COPY analytics_events ({}) FROM STDIN (FORMAT csv)").format(
    sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
)
_DIGIT_PLACES: Final = [place for place in range(36) if place not in (8, 13, 18, 23)]
# Arrow quotes every text, so that null (nothing) and the empty text ("") stay apart, as in PostgreSQL's CSV.
_OPTIONS: Final = pa_csv.WriteOptions(include_header=False, quoting_style="needed")


def copy_rows(connection: psycopg.Connection, staged: StagedRows, chunk_id: int, now_microseconds: int) -> None:
    """COPY rows into analytics_events as those of a chunk, imported now."""
    if not len(staged):
        return
    lines = staged.table["line"]
    if has_kernel() and not lines.null_count:
        sender = _kernel.Sender(to_buffers(staged), lines.to_numpy().tobytes(), chunk_id, now_microseconds)
        with connection.cursor() as cursor, cursor.copy(_COPY_BINARY) as copy:
            for piece in sender:
                copy.write(piece)
    else:
        with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
            copy.write(_write_csv(staged, chunk_id, now_microseconds))


def format_ids(ids: pa.ChunkedArray) -> pa.Array:
    """Ids of 16 bytes as texts of 36 characters, all at once."""
    array = ids.combine_chunks()
    digits = bytes(memoryview(array.buffers()[1])[16 * array.offset : 16 * (array.offset + len(array))]).hex()
    texts = np.full((len(array), 36), ord("-"), np.uint8)
    texts[:, _DIGIT_PLACES] = np.frombuffer(digits.encode(), np.uint8).reshape(-1, 32)
    offsets = pa.py_buffer(np.arange(0, 36 * len(array) + 1, 36, dtype=np.int32))
    return pa.Array.from_buffers(pa.string(), len(array), [None, offsets, pa.py_buffer(texts.tobytes())])


def format_times(microseconds: npt.NDArray[np.int64]) -> pa.Array:
    """Times in microseconds since 1970 as texts in UTC; Arrow's own take four microseconds each."""
    texts = np.datetime_as_string(microseconds.astype("datetime64[us]"), timezone="UTC").astype(
        "S27"
    )  # 2024-01-31T23:59:59.000000Z
    width = texts.dtype.itemsize
    offsets = pa.py_buffer(np.arange(0, width * len(texts) + 1, width, dtype=np.int32))
    return pa.Array.from_buffers(pa.string(), len(texts), [None, offsets, pa.py_buffer(texts.tobytes())])


def _write_csv(staged: StagedRows, chunk_id: int, now_microseconds: int) -> memoryview:
    table, count = staged.table, len(staged)
    constants = {
        "source": pa.scalar(staged.source),
        "import_chunk_id": pa.scalar(chunk_id),
        "imported_at": format_times(np.array([now_microseconds]))[0],
    }
    columns = {name: pa.repeat(value, count) for name, value in constants.items()}
    columns |= {"event_id": format_ids(table["event_id"]), "export_line": table["line"]}
    columns |= {"created_at": format_times(staged.microseconds)}
    columns |= {name: table[name] for name in COLUMNS if name not in columns}
    sink = io.BytesIO()
    pa_csv.write_csv(pa.table([columns[name] for name in COLUMNS], list(COLUMNS)), sink, _OPTIONS)
    return sink.getbuffer()
