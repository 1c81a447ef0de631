"""The tables that hold a month each: their names and bounds, and which may be taken out of the table whole."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import psycopg

# A month is replaced whole only when nobody writes to it any more: while it is detached, inserts into it fail.
_SETTLED_AFTER: Final = timedelta(days=1)
# Smaller ones are compared sooner than watched.
_LARGE_BYTES: Final = 64 * 1024 * 1024


def month_bounds(month: str) -> tuple[datetime, datetime]:
    """The instants a month (`2024-01`) begins and ends."""
    start = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    return start, (start + timedelta(days=32)).replace(day=1)


def month_table(month: str) -> str:
    """The name of the partition that holds a month."""
    return f"analytics_events_{month.replace('-', '_')}"


def is_whole(connection: psycopg.Connection, month: str, rows: int) -> bool:
    """Whether a month is over and has just so many rows."""
    start, end = month_bounds(month)
    if end > datetime.now(UTC) - _SETTLED_AFTER:
        return False
    row = connection.execute(
        "SELECT count(*) FROM analytics_events WHERE created_at >= %s AND created_at < %s", (start, end)
    ).fetchone()
    return bool(row and row[0] == rows)


def may_detach(connection: psycopg.Connection, month: str) -> bool:
    """Whether our role owns the month, no view or key names it, and nobody is subscribed to it, who would not hear."""
    row = connection.execute(
        "SELECT bool_and(pg_has_role(c.relowner, 'USAGE')) AND NOT EXISTS ("
        " SELECT FROM pg_publication_tables WHERE schemaname = 'public'"
        " AND tablename IN (%(name)s, 'analytics_events'))"
        " AND NOT EXISTS (SELECT FROM pg_depend WHERE refclassid = 'pg_class'::regclass"
        " AND refobjid = to_regclass(%(name)s) AND deptype = 'n')"
        " FROM pg_class AS c WHERE c.oid IN (to_regclass(%(name)s), 'analytics_events'::regclass) HAVING count(*) = 2",
        {"name": month_table(month)},
    ).fetchone()
    return bool(row and row[0])


def find_large(connection: psycopg.Connection, months: Mapping[str, int]) -> list[str]:
    """Months of so many rows each that may be replaced whole and take long to read."""
    return [
        month
        for month, rows in sorted(months.items())
        if _size_of(connection, month) >= _LARGE_BYTES
        and may_detach(connection, month)
        and is_whole(connection, month, rows)
    ]


def _size_of(connection: psycopg.Connection, month: str) -> int:
    row = connection.execute("SELECT pg_relation_size(to_regclass(%s))", (month_table(month),)).fetchone()
    return int(row[0] or 0) if row else 0
