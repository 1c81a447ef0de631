"""Blocks of months just loaded: vacuumed and summarised while they are at hand, so that nobody writes them again.

Whoever reads a row first notes in its page that its transaction committed, and a vacuum that all may see it. With data
checksums, which are the default, either costs a whole page in the log when the page was last written before the latest
checkpoint: ten times the reading. Autovacuum would come for what was inserted every minute.

Until block ranges (BRIN) are summarised, reading some days reads the whole month.
"""

from collections.abc import Iterable
from contextlib import suppress
from datetime import date
from typing import Final

import psycopg
from psycopg import sql

_NOT_NOW: Final = (psycopg.errors.InsufficientPrivilege, psycopg.errors.LockNotAvailable)
LARGE_BYTES: Final = 128 * 1024 * 1024  # of a month's table
# Of the time alone: some days are asked for by it, and each index more reads the whole month once more.
_INDEXES: Final = (
    "SELECT i.indexrelid::bigint FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid"
    " JOIN pg_am AS a ON a.oid = c.relam"
    " JOIN pg_attribute AS t ON t.attrelid = i.indexrelid AND t.attname = 'created_at'"
    " WHERE a.amname = 'brin' AND i.indrelid = to_regclass(%s) AND pg_relation_size(i.indrelid) > %s"
    " AND pg_has_role((SELECT relowner FROM pg_class WHERE oid = i.indrelid), 'USAGE')"
)
_SIZES: Final = (
    "SELECT inhrelid::regclass::text, pg_relation_size(inhrelid) FROM pg_inherits"
    " WHERE inhparent = 'analytics_events'::regclass"
)
# Marks the pages alone: what is dead in them, autovacuum takes out of the indexes. For nobody does it wait.
_VACUUM: Final = sql.SQL("VACUUM (SKIP_LOCKED, INDEX_CLEANUP OFF, TRUNCATE OFF, PROCESS_TOAST OFF) {}")
_READ_FROM: Final = (
    "SELECT count(*) FROM {} WHERE ctid >= format('(%%s,0)', %s::bigint / current_setting('block_size')::bigint)::tid"
)


class BlocksAtHand:
    """The blocks that the months' tables get from now on, to be looked after by whoever writes them."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self._begun = self._measure()

    def finish(self, days: Iterable[date]) -> None:
        """Vacuum the new blocks of the large months of these days, or read them where that cannot be; summarise them.

        Waits for nobody: an autovacuum does not give way, and another who is at it does it for us. What may not be
        done, or takes too long, is left undone.
        """
        now = self._measure()
        for table in _tables(days):
            if now.get(table, 0) > LARGE_BYTES:
                with suppress(psycopg.errors.InsufficientPrivilege, psycopg.errors.QueryCanceled):
                    if not self._vacuum(table):
                        query = sql.SQL(_READ_FROM).format(sql.Identifier(table))
                        self._connection.execute(query, (self._begun.get(table, 0),))
                    summarise_table(self._connection, table, waits=False)

    def _vacuum(self, table: str) -> bool:
        """Whether it could be: who may not, or finds another at it, is told by a warning alone."""
        told: list[psycopg.errors.Diagnostic] = []
        self._connection.add_notice_handler(told.append)
        try:
            self._connection.execute(_VACUUM.format(sql.Identifier(table)))
        finally:
            self._connection.remove_notice_handler(told.append)
        return not told

    def _measure(self) -> dict[str, int]:
        return dict(self._connection.execute(_SIZES).fetchall())


def summarise_months(connection: psycopg.Connection, days: Iterable[date]) -> int:
    """Summarise the new block ranges of the large months of these days, as autovacuum would later; how many there were.

    Only an index's owner may, and not while the table is vacuumed or for longer than a statement may take: else it is
    left to autovacuum.
    """
    try:
        return sum(summarise_table(connection, table) or 0 for table in _tables(days))
    except psycopg.errors.QueryCanceled:  # statement_timeout: no less would be left the next time
        return 0


def summarise_table(connection: psycopg.Connection, table: str, waits: bool = True) -> int | None:
    """Summarise the new block ranges of a month, if it is large; None where that cannot be done, or not now."""
    found = None
    for (index,) in connection.execute(_INDEXES, (table, LARGE_BYTES)).fetchall():
        with suppress(*_NOT_NOW), connection.transaction():
            if not waits:
                connection.execute("SET LOCAL lock_timeout = 1")
            row = connection.execute("SELECT brin_summarize_new_values(%s::bigint::regclass)", (index,)).fetchone()
            found = (found or 0) + (row[0] if row else 0)
    return found


def _tables(days: Iterable[date]) -> list[str]:
    return [f"analytics_events_{month:%Y_%m}" for month in sorted({day.replace(day=1) for day in days})]
