"""Retired months: what was a month's table, replaced by an empty one. Space to give back, once nobody waits for it.

With them goes what else a rollback, also one that was killed, has left at the table.

A retired table is known by its name and comment: whoever comes next can drop what a kill left.
"""

from dataclasses import dataclass, field
from typing import Final

import psycopg
from psycopg import sql

from hindcast.watched import find_watched, unwatch

_PREFIX: Final = "hindcast_retired_"
_COMMENT: Final = "rows that were rolled back: "
_FIND: Final = (
    "SELECT c.relname, pg_total_relation_size(c.oid) FROM pg_class AS c"
    " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND starts_with(c.relname, %s)"
    " AND starts_with(obj_description(c.oid, 'pg_class'), %s)"
    " AND pg_has_role(c.relowner, 'USAGE') ORDER BY c.relname"
)
_INDEXES: Final = (
    "SELECT c.relname, c.oid FROM pg_index AS i INNER JOIN pg_class AS c ON c.oid = i.indexrelid"
    " WHERE i.indrelid = to_regclass(%s)"
)


@dataclass
class Dropped:
    """What was given back; `left` says of a table why it was not."""

    size_bytes: int = 0
    tables: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)


def retire_month(connection: psycopg.Connection, name: str, archive: str) -> None:
    """Take a detached month's name, and those of its indexes, from it. In the transaction that makes it again, empty.

    `archive` is the id of the archive that holds its rows.
    """
    for index, oid in connection.execute(_INDEXES, (name,)).fetchall():
        new_name = sql.Identifier(f"{_PREFIX}index_{oid}")
        connection.execute(sql.SQL("ALTER INDEX {} RENAME TO {}").format(sql.Identifier(index), new_name))
    row = connection.execute("SELECT to_regclass(%s)::oid", (name,)).fetchone()
    assert row
    retired = sql.Identifier(f"{_PREFIX}{name.removeprefix('analytics_events_')}_{row[0]}")
    connection.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(sql.Identifier(name), retired))
    told = f"{_COMMENT}archive {archive} holds them, and Hindcast drops this table"
    connection.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(retired, sql.Literal(told)))


def tidy_up(connection: psycopg.Connection) -> Dropped:
    """Drop every retired month, and watch none any longer. Never raises for what somebody's lock keeps."""
    dropped = drop_retired(connection)
    for name in find_watched(connection):
        try:
            unwatch(connection, name)
        except psycopg.errors.LockNotAvailable as error:
            dropped.left[name] = error.diag.message_primary or str(error)
    return dropped


def find_left(connection: psycopg.Connection) -> list[str]:
    """Tables with something to tidy up."""
    return [*find_retired(connection), *find_watched(connection)]


def find_retired(connection: psycopg.Connection) -> dict[str, int]:
    """Tables that are left to drop and their sizes in bytes; those of other owners are not ours to drop."""
    return dict(connection.execute(_FIND, (_PREFIX, _COMMENT)).fetchall())


def drop_retired(connection: psycopg.Connection) -> Dropped:
    """Drop every retired month, each in its own transaction. Never raises for one that cannot be: somebody reads it."""
    dropped = Dropped()
    for name, size_bytes in find_retired(connection).items():
        try:
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(name)))
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DependentObjectsStillExist) as error:
            dropped.left[name] = error.diag.message_primary or str(error)
        else:
            dropped.tables.append(name)
            dropped.size_bytes += size_bytes
    return dropped
