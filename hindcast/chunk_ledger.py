"""A chunk's line in the ledger: asked for as its transaction begins, written as it ends.

Each question to a database far away costs a journey there and back. So what can be told at once is: a chunk takes one
journey to begin, two for its rows, one for its conflicts and its line, one to commit.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Final, NamedTuple
from uuid import UUID

import psycopg

from hindcast.ledger import Counts
from hindcast.times import to_microseconds

# A chunk and its line in the ledger are lost together or not at all, and the next commit that waits makes both last: a
# call's last one. So nobody waits for the disk once a chunk. Objects outside the database could not be taken back: what
# claims them waits.
_WITHOUT_WAITING: Final = "SET LOCAL synchronous_commit = off"
_BEGIN: Final = (
    "SELECT CASE WHEN chunk_id IS NULL THEN nextval(pg_get_serial_sequence('import_chunks', 'chunk_id')) END, now(),"
    " lines, loaded, derived, duplicate, conflict, rejected, skipped, out_of_window, sanitised"
    " FROM (SELECT) AS once LEFT JOIN import_chunks ON run_id = %s AND chunk_number = %s"
)
_IS_LOADED: Final = "SELECT FROM import_chunks WHERE run_id = %s AND chunk_number = %s"
_INSERT_CHUNK: Final = (
    "INSERT INTO import_chunks"
    " (chunk_id, run_id, chunk_number, part, first_line, last_line, first_byte, last_byte, lines,"
    " loaded, derived, duplicate, conflict, rejected, skipped, out_of_window, sanitised, digest, days)"
    " VALUES (%(chunk_id)s, %(run_id)s, %(chunk_number)s, %(part)s, %(first_line)s, %(last_line)s,"
    " %(first_byte)s, %(last_byte)s, %(lines)s, %(loaded)s, %(derived)s, %(duplicate)s, %(conflict)s,"
    " %(rejected)s, %(skipped)s, %(out_of_window)s, %(sanitised)s, %(digest)s, %(days)s)"
)
_INSERT_CONFLICT: Final = (
    "INSERT INTO import_conflicts"
    " (run_id, part, line, chunk_id, event_id, against, fields, is_replaced, previous_row)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s::jsonb, %s, %s::jsonb)"
)


class Begun(NamedTuple):
    """What a chunk is to carry: its id in the ledger, and the transaction's time in microseconds."""

    chunk_id: int
    now: int


def begin_chunk(
    connection: psycopg.Connection, transaction: ExitStack, run_id: UUID, number: int, waits: bool
) -> Begun | Counts:
    """Begin a transaction that ends with the stack; its commit waits for the disk or does not.

    Returns a new chunk id, or the counts of a chunk that the ledger has already.
    """
    with connection.pipeline():
        transaction.enter_context(psycopg.Transaction(connection))  # its method would keep the pipeline open
        if not waits:
            connection.execute(_WITHOUT_WAITING)
        answer = connection.execute(_BEGIN, (run_id, number))
    found = answer.fetchone()  # there by now; within the pipeline it would have been asked for by itself
    assert found
    chunk_id, now, *counts = found
    return Counts(*counts) if chunk_id is None else Begun(int(chunk_id), to_microseconds(now))


def is_loaded(connection: psycopg.Connection, run_id: UUID, number: int) -> bool:
    """Whether the ledger has the chunk."""
    return connection.execute(_IS_LOADED, (run_id, number)).fetchone() is not None


def note_chunk(connection: psycopg.Connection, facts: Mapping[str, Any], conflicts: Sequence[tuple[Any, ...]]) -> None:
    """Write the chunk's line, its `facts` named as the columns are, and a row for each of its conflicts."""
    with connection.pipeline(), connection.cursor() as cursor:
        cursor.executemany(_INSERT_CONFLICT, conflicts)
        cursor.execute(_INSERT_CHUNK, facts)
