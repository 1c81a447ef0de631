"""Whether a table is as it was in an earlier snapshot, told from its rows' transactions without reading what they say.

PostgreSQL never changes a row in place: an insert or update writes a row with a newer transaction, a delete takes one
away. So a table with as many rows as then, none of them newer, holds the same rows: much cheaper to see than a digest.
"""

from typing import Final

import msgspec
import psycopg
from psycopg import sql

# Transaction numbers mean something on the same server only, and compare within half their range.
_NAME: Final = "SELECT system_identifier || ':' || pg_snapshot_xmin(pg_current_snapshot()) FROM pg_control_system()"
# One serial pass: the time is that of bringing the pages, and workers of the server's make it longer.
_COUNT: Final = sql.SQL(
    "SELECT count(*), coalesce(min(age(xmin)) > age(%(oldest)s::text::xid), true),"
    " pg_snapshot_xmax(pg_current_snapshot())::text::bigint FROM ONLY {}"
)
_COMPARABLE: Final = 1 << 30
_XIDS: Final = 1 << 32


def name_snapshot(connection: psycopg.Connection) -> str | None:
    """A name of the transaction's snapshot, None where the server keeps that to itself. Its transaction goes on."""
    try:
        with connection.transaction():
            row = connection.execute(_NAME).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        return None
    return str(row[0]) if row else None


def is_unchanged(
    connection: psycopg.Connection, table: sql.Identifier, rows: int, named: str | msgspec.UnsetType
) -> bool:
    """True when a table, which nobody can write to, holds just the rows it held in that snapshot; False: perhaps not.

    `rows` is how many it held then. A row written by a transaction that had begun by then counts as new.
    """
    server, _, oldest = named.partition(":") if isinstance(named, str) else ("", "", "")
    now = name_snapshot(connection)
    if not now or not server or now.partition(":")[0] != server:
        return False
    found = connection.execute(_COUNT.format(table), {"oldest": str(int(oldest) % _XIDS)}).fetchone()
    assert found
    held, is_older, newest = found
    return bool(newest - int(oldest) < _COMPARABLE and held == rows and is_older)
