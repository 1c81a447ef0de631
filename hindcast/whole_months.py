"""Months that held nothing but archived rows: their partition is detached, compared with the archive, and replaced.

Detaching waits for readers and blocks nobody (DETACH ... CONCURRENTLY). An empty month takes its place in the same
transaction; one that holds anything else by then is attached again, and its rows are deleted one by one.
"""

from typing import Final

import msgspec
import psycopg
from psycopg import sql

from hindcast.archive import ArchivedMonth, ArchiveFile, Description
from hindcast.archive_ledger import Archive, done_chunks
from hindcast.month_tables import may_detach, month_bounds, month_table
from hindcast.retired import retire_month
from hindcast.row_digest import SUMS, Digest, row_hash
from hindcast.settings import Settings
from hindcast.unchanged import is_unchanged
from hindcast.watched import is_unwritten, unwatch

_DIGEST: Final = sql.SQL(
    "SELECT count(*), {sums} FROM (SELECT {row_hash} AS row_hash FROM ONLY {table} AS e OFFSET 0) AS s"
)
_STATE: Final = (
    "SELECT i.inhdetachpending FROM pg_inherits AS i"
    " WHERE i.inhparent = 'analytics_events'::regclass AND i.inhrelid = to_regclass(%s)"
)
_TRIES: Final = 3


def empty_months(
    connection: psycopg.Connection, archive: Archive, description: Description, settings: Settings
) -> None:
    """Empty the whole months of an archive that are worth it. Finishes first what a kill left detached."""
    settle_months(connection, archive, description)
    done = done_chunks(connection, archive.archive_id)
    tried = {
        str(month)[:7]
        for (month,) in connection.execute(
            "SELECT month FROM import_prune_months WHERE archive_id = %s", (archive.archive_id,)
        )
    }
    for month in description.months:
        files = [file for file in description.files if file.month == month.month]
        is_begun = any(number in done for number, _ in chunks_of(files))
        # Up to two chunks are deleted sooner than a partition is detached, and nobody can notice.
        if month.is_whole and month.rows > 2 * settings.prune_chunk_rows and month.month not in tried and not is_begun:
            _empty_month(connection, archive, description, month)


def settle_months(connection: psycopg.Connection, archive: Archive, description: Description) -> None:
    """Bring months that a kill left between detached and emptied to an end: emptied, or attached again."""
    months = {month.month: month for month in description.months}
    rows = connection.execute(
        "SELECT month FROM import_prune_months WHERE archive_id = %s AND state = 'detaching' ORDER BY month",
        (archive.archive_id,),
    ).fetchall()
    for (day,) in rows:
        month = months[f"{day:%Y-%m}"]
        _detach(connection, month)
        _decide(connection, archive, description, month)


def chunks_of(files: list[ArchiveFile]) -> list[tuple[int, int]]:
    """Numbers and rows of the chunks of these files."""
    return [(file.first_chunk + index, rows) for file in files for index, rows in enumerate(file.chunks)]


def _empty_month(
    connection: psycopg.Connection, archive: Archive, description: Description, month: ArchivedMonth
) -> None:
    if not may_detach(connection, month.month):
        return
    connection.execute(
        "INSERT INTO import_prune_months (archive_id, month, rows, digest, state)"
        " VALUES (%s, %s::date, %s, %s, 'detaching')",
        (archive.archive_id, f"{month.month}-01", month.rows, month.digest),
    )
    _detach(connection, month)
    _decide(connection, archive, description, month)


def _detach(connection: psycopg.Connection, month: ArchivedMonth) -> None:
    """Detach, or go on with a detaching that was cut short; does nothing when it is detached (or gone)."""
    for _ in range(_TRIES):
        row = connection.execute(_STATE, (month_table(month.month),)).fetchone()
        if not row:
            return
        how = sql.SQL("FINALIZE" if row[0] else "CONCURRENTLY")
        # It waits for everyone who reads the table, and holds up nobody meanwhile.
        connection.execute("SET lock_timeout = 0")
        try:
            connection.execute(
                sql.SQL("ALTER TABLE analytics_events DETACH PARTITION {} {}").format(_table(month), how)
            )
        except (psycopg.errors.UndefinedTable, psycopg.errors.ObjectNotInPrerequisiteState):
            continue  # the server had gone on with it for a client that was killed: look again
        finally:
            connection.execute("RESET lock_timeout")


def _decide(connection: psycopg.Connection, archive: Archive, description: Description, month: ArchivedMonth) -> None:
    """Compare the detached month with the archive, and empty it or attach it again. One transaction."""
    start, end = month_bounds(month.month)
    table, state = _table(month), "kept"
    with connection.transaction():
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(table))
        connection.execute("SET LOCAL statement_timeout = 0")
        if (
            _is_unwritten(connection, month)
            or is_unchanged(connection, table, month.rows, description.snapshot)
            or _is_same(connection, table, description, month)
        ):
            retire_month(connection, month_table(month.month), str(archive.archive_id))
            connection.execute("SELECT hindcast_add_month(%s::date)", (start,))
            _note_emptied(connection, archive, description, month)
            state = "dropped"
        else:
            connection.execute(
                sql.SQL("ALTER TABLE analytics_events ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
                    table, sql.Literal(start), sql.Literal(end)
                )
            )
            _forget_bounds(connection, month)
            unwatch(connection, month_table(month.month))
        connection.execute(
            "UPDATE import_prune_months SET state = %s WHERE archive_id = %s AND month = %s::date",
            (state, archive.archive_id, start),
        )


def _is_unwritten(connection: psycopg.Connection, month: ArchivedMonth) -> bool:
    return month.mark is not msgspec.UNSET and is_unwritten(connection, month_table(month.month), month.mark)


def _is_same(
    connection: psycopg.Connection, table: sql.Identifier, description: Description, month: ArchivedMonth
) -> bool:
    query = _DIGEST.format(sums=SUMS, row_hash=row_hash(description.columns, "e"), table=table)
    rows, high, low = connection.execute(query).fetchone() or (0, 0, 0)
    found = Digest()
    found.add_sums(rows, high or 0, low or 0)
    return (found.rows, found.text) == (month.rows, month.digest)


def _note_emptied(
    connection: psycopg.Connection, archive: Archive, description: Description, month: ArchivedMonth
) -> None:
    files = [file for file in description.files if file.month == month.month]
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO import_prune_chunks"
            " (archive_id, chunk_number, rows, deleted, changed, absent, is_month_dropped)"
            " VALUES (%s, %s, %s, %s, 0, 0, true)",
            [(archive.archive_id, number, rows, rows) for number, rows in chunks_of(files)],
        )


def _forget_bounds(connection: psycopg.Connection, month: ArchivedMonth) -> None:
    """Detaching leaves the month's bounds as a CHECK; attached, the partition has them anyway."""
    rows = connection.execute(
        "SELECT c.conname FROM pg_constraint AS c WHERE c.conrelid = to_regclass(%s) AND c.contype = 'c'"
        " AND c.conparentid = 0 AND c.coninhcount = 0",
        (month_table(month.month),),
    ).fetchall()
    for (name,) in rows:
        connection.execute(sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(_table(month), sql.Identifier(name)))


def _table(month: ArchivedMonth) -> sql.Identifier:
    return sql.Identifier(month_table(month.month))
