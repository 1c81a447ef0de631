"""Block ranges (BRIN) of months just loaded: until they are summarised, reading some days reads the whole month."""

from collections.abc import Sequence
from datetime import date
from typing import Final

import psycopg

from hindcast.rollups import SPAN_BYTES

_LEFT_TO_AUTOVACUUM: Final = (
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.LockNotAvailable,
    psycopg.errors.QueryCanceled,  # statement_timeout
)
# Of the time alone: some days are asked for by it, and each index more reads the whole month once more.
_INDEXES: Final = (
    "SELECT i.indexrelid::bigint FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid"
    " JOIN pg_am AS a ON a.oid = c.relam"
    " JOIN pg_attribute AS t ON t.attrelid = i.indexrelid AND t.attname = 'created_at'"
    " WHERE a.amname = 'brin' AND i.indrelid = to_regclass(%s) AND pg_relation_size(i.indrelid) > %s"
)


def summarise_months(connection: psycopg.Connection, days: Sequence[date]) -> int:
    """Summarise the new block ranges of the large months of these days, as autovacuum would later; how many there were.

    Only an index's owner may, and not while the table is vacuumed or for longer than a statement may take: else it is
    left to autovacuum.
    """
    summarised = 0
    for month in sorted({day.replace(day=1) for day in days}):
        table = f"analytics_events_{month:%Y_%m}"
        for (index,) in connection.execute(_INDEXES, (table, SPAN_BYTES)).fetchall():
            try:
                found = connection.execute(
                    "SELECT brin_summarize_new_values(%s::bigint::regclass)", (index,)
                ).fetchone()
            except _LEFT_TO_AUTOVACUUM:
                return summarised
            summarised += found[0] if found else 0
    return summarised
