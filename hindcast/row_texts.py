"""Whole rows as PostgreSQL's texts of their columns, in Arrow tables: copied out of the server and in again, hashed.

They travel as CSV, in which nothing and an empty text differ: a text that is empty stands between quotes.
"""

import io
from collections.abc import Generator, Sequence
from typing import Final

import psycopg
import pyarrow as pa
from psycopg import sql
from pyarrow import csv

from hindcast.errors import ArchiveError
from hindcast.kernel import _kernel, has_kernel
from hindcast.kernel_rows import text_buffers
from hindcast.row_digest import hash_row

# A table's rows are in memory at once: a payload may be 40 MiB.
_TABLE_BYTES: Final = 64 * 1024 * 1024
_COPY_OUT: Final = sql.SQL("COPY ({}) TO STDOUT (FORMAT csv)")
_COPY_IN: Final = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)")
_WRITTEN: Final = csv.WriteOptions(include_header=False, quoting_style="needed")  # texts always are quoted
_PARSED: Final = csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False)


def copy_texts(
    connection: psycopg.Connection, query: sql.Composable, names: Sequence[str], most_rows: int
) -> Generator[pa.Table, None, None]:
    """Yield the rows of a query, in order, as tables of texts whose columns get these names.

    None has more rows than `most_rows`, nor many more bytes than 64 MiB. Raises ArchiveError when rows cannot be read.
    """
    data, count = bytearray(), 0
    with connection.cursor() as cursor, cursor.copy(_COPY_OUT.format(query)) as rows:
        for row in rows:  # the server sends a row a message
            data += row
            count += 1
            if count >= most_rows or len(data) >= _TABLE_BYTES:
                table = _parse(data, count, names)
                data, count = bytearray(), 0  # not held while the table is being worked on
                yield table
                del table
    if count:
        yield _parse(data, count, names)


def send_texts(connection: psycopg.Connection, table: str, rows: pa.Table) -> int:
    """COPY rows into the columns of a table that are named as theirs; returns how many the server took."""
    sink = io.BytesIO()
    csv.write_csv(rows, sink, _WRITTEN)
    columns = sql.SQL(", ").join(map(sql.Identifier, rows.column_names))
    with connection.cursor() as cursor:
        with cursor.copy(_COPY_IN.format(sql.Identifier(table), columns)) as copy:
            copy.write(sink.getbuffer())
        return cursor.rowcount


def hash_rows(columns: Sequence[pa.ChunkedArray]) -> bytes:
    """The hashes (see `row_digest`) of rows given as columns of texts, 16 bytes each, one behind the other."""
    if has_kernel():
        return _kernel.hash_rows(tuple(map(text_buffers, columns)), len(columns[0]))
    return b"".join(map(hash_row, zip(*(column.to_pylist() for column in columns), strict=True)))


def _parse(data: bytes | bytearray, count: int, names: Sequence[str]) -> pa.Table:
    texts = csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    # One block, since no value may lie in two; and one column chunk each then.
    whole = csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=list(names))
    try:
        table = csv.read_csv(pa.py_buffer(data), whole, _PARSED, texts)
    except pa.ArrowInvalid as error:
        raise ArchiveError(f"rows of the table cannot be read: {error}") from error
    if len(table) != count:
        raise ArchiveError(f"the table sent {count:,} rows, {len(table):,} were read of them")
    return table
