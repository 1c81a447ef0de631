"""Months watched while they are archived: whether anybody wrote to one since is then known without reading it.

A trigger on the month takes a number of a sequence for each row that is written. Numbers are taken at once and never
given back, so the sequence stands where it stood only if nobody wrote. What can be wrong is the other way alone: a
write that was rolled back, a crash, a trigger somebody dropped; the month is then compared as one that is not watched.
"""

from collections.abc import Iterable
from typing import Final

import psycopg
from psycopg import sql

_TRIGGER: Final = "hindcast_late_writes"
# ALWAYS: also for what a replication or a restored dump writes.
_WATCH: Final = (
    "CREATE TRIGGER {trigger} AFTER INSERT OR UPDATE OR DELETE ON {table}"
    " FOR EACH ROW EXECUTE FUNCTION hindcast_note_late_write()",
    "ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}",
)
# Writers queue behind us while we wait, and a month that is not watched is read.
_PATIENCE: Final = "SET LOCAL lock_timeout = '200ms'"
# With a transaction id, so that its commit writes the number to the disk, and with it all before.
_TAKE: Final = "SELECT nextval('hindcast_late_writes'), pg_current_xact_id()"
# TRUNCATE fires no trigger of rows, and gives the table another file.
_IS_UNWRITTEN: Final = (
    "SELECT last_value = %s AND pg_relation_filenode(to_regclass(%s)) = %s"
    " AND EXISTS (SELECT FROM pg_trigger WHERE oid = %s AND tgrelid = to_regclass(%s) AND tgenabled = 'A')"
    " FROM hindcast_late_writes"
)
_FACTS: Final = (
    "SELECT tgrelid::regclass::text, pg_relation_filenode(tgrelid), oid FROM pg_trigger"
    " WHERE tgname = %s AND tgenabled = 'A' AND tgrelid = ANY(%s::text[]::regclass[])"
)
_WATCHED: Final = (
    "SELECT c.relname FROM pg_trigger AS t INNER JOIN pg_class AS c ON c.oid = t.tgrelid"
    " INNER JOIN pg_inherits AS i ON i.inhrelid = c.oid AND i.inhparent = 'analytics_events'::regclass"
    " WHERE t.tgname = %s AND pg_has_role(c.relowner, 'USAGE') ORDER BY c.relname"
)


def watch(connection: psycopg.Connection, tables: Iterable[str]) -> dict[str, str]:
    """Watch tables from now on; returns a mark of each for `is_unwritten`, to be taken before the snapshot is.

    Waits a fifth of a second for who writes to a table. One that cannot be watched has no mark.
    """
    watched = set(find_watched(connection))
    names = []
    for name in tables:
        try:
            if name not in watched:
                with connection.transaction():
                    connection.execute(_PATIENCE)
                    for statement in _WATCH:
                        connection.execute(_write(statement, name))
        except (psycopg.errors.LockNotAvailable, psycopg.errors.InsufficientPrivilege):
            continue
        names.append(name)
    if not names:
        return {}
    try:
        with connection.transaction():
            connection.execute("SET LOCAL synchronous_commit = on")
            row = connection.execute(_TAKE).fetchone()
            assert row
            facts = connection.execute(_FACTS, (_TRIGGER, names)).fetchall()
    except psycopg.errors.InsufficientPrivilege:
        return {}
    return {name: f"{row[0]} {file} {trigger}" for name, file, trigger in facts}


def is_unwritten(connection: psycopg.Connection, table: str, mark: str) -> bool:
    """True when nobody wrote to a table, which nobody can write to now, since it got its mark; False: perhaps not."""
    number, file, trigger = map(int, mark.split())
    try:
        with connection.transaction():
            row = connection.execute(_IS_UNWRITTEN, (number, table, file, trigger, table)).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        return False
    return bool(row and row[0])


def find_watched(connection: psycopg.Connection) -> list[str]:
    """Months of ours that are watched."""
    return [name for (name,) in connection.execute(_WATCHED, (_TRIGGER,))]


def unwatch(connection: psycopg.Connection, table: str) -> None:
    """Watch a table no longer; raises LockNotAvailable when it is in use for a fifth of a second."""
    with connection.transaction():
        connection.execute(_PATIENCE)
        connection.execute(_write("DROP TRIGGER IF EXISTS {trigger} ON {table}", table))


def _write(statement: str, table: str) -> sql.Composed:
    return sql.SQL(statement).format(trigger=sql.Identifier(_TRIGGER), table=sql.Identifier(table))
