"""Preflight: what would stop a load half-way, found before it begins. Reads only; each finding is a sentence."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import psycopg

from hindcast.database import OLDEST_SERVER, connect, describe_url, require_schema
from hindcast.errors import TargetError
from hindcast.report_format import size
from hindcast.retired import find_left, find_retired
from hindcast.settings import Settings

# Beside the workers': the writer lock, the governor, and the tasks that run at once in the flow's own process.
SESSIONS_BESIDE_WORKERS: Final = 6
_SESSIONS_TO_SPARE: Final = 5
_PIDS_ASKED: Final = 5
# What a load writes to, and how. The events also need DELETE when rows are to be replaced.
_NEEDED: Final[dict[str, tuple[str, ...]]] = {
    "analytics_events": ("SELECT", "INSERT"),
    "import_runs": ("SELECT", "INSERT", "UPDATE"),
    "import_parts": ("SELECT", "INSERT", "UPDATE"),
    "import_chunks": ("SELECT", "INSERT"),
    "import_rejects": ("INSERT", "DELETE"),
    "import_conflicts": ("INSERT",),
    "import_governor": ("INSERT",),
    "daily_events": ("SELECT", "INSERT", "DELETE"),
    "daily_course_engagement": ("SELECT", "INSERT", "DELETE"),
    "daily_lesson_dropoff": ("SELECT", "INSERT", "DELETE"),
    "hindcast_run_events": ("SELECT",),
}


@dataclass(frozen=True)
class Check:
    """One finding: what was looked at, and a sentence with what was found, and what to do if it is not well."""

    check: str
    status: Literal["passed", "warned", "failed"]
    sentence: str


def check_target(url: str, settings: Settings, processes: int = 2, on_conflict: str = "keep") -> list[Check]:
    """Look at the database: reachable, writable, no pooler in transaction mode, privileges, months, free sessions.

    `processes` is how many workers will load. Never raises for what it finds.
    """
    where = describe_url(url)
    try:
        began = time.perf_counter()
        with connect(url, settings) as connection:
            answered_ms = (time.perf_counter() - began) * 1000
            found = [_check_server(connection, where, answered_ms), _check_writable(connection, where)]
            found.append(_check_pooler(connection, url, settings, where))
            if any(check.status == "failed" for check in found):
                return found  # what follows would only repeat it
            found.append(_check_schema(connection))
            if found[-1].status == "passed":
                found.append(_check_privileges(connection, on_conflict))
                found += _check_partitions(connection)
            found.append(_check_sessions(connection, processes + SESSIONS_BESIDE_WORKERS))
            return found
    except TargetError as error:
        return [Check("connection", "failed", str(error))]


def plan_months(connection: psycopg.Connection, first: datetime | None, last: datetime | None) -> Check:
    """Say which months a load from `first` to `last` has to make."""
    if first is None or last is None:
        return Check("months", "passed", "no event, so no month to make")
    rows = connection.execute(
        "SELECT to_char(month, 'YYYY-MM') FROM generate_series("
        "date_trunc('month', %s::timestamptz), %s::timestamptz, interval '1 month') AS month"
        " WHERE NOT EXISTS (SELECT FROM pg_inherits WHERE inhparent = 'analytics_events'::regclass"
        " AND inhrelid = to_regclass('analytics_events_' || to_char(month, 'YYYY_MM'))) ORDER BY 1",
        (first, last),
    ).fetchall()
    missing = [month for (month,) in rows]
    if not missing:
        return Check("months", "passed", f"every month from {first:%Y-%m} to {last:%Y-%m} is there")
    return Check("months", "passed", f"{len(missing)} months to make: {_shorten(missing)}")


def require_passed(checks: Sequence[Check]) -> None:
    """Raise TargetError with every failure's sentence."""
    failures = [check.sentence for check in checks if check.status == "failed"]
    if failures:
        raise TargetError("preflight: " + "; ".join(failures))


def _check_server(connection: psycopg.Connection, where: str, answered_ms: float) -> Check:
    version = connection.info.server_version
    if version < OLDEST_SERVER:
        told = f"database {where}: PostgreSQL {version // 10_000}: expected 15 or newer; upgrade the server"
        return Check("server", "failed", told)
    shown = f"{version // 10_000}.{version % 10_000}"
    return Check("server", "passed", f"database {where}: PostgreSQL {shown} connected in {answered_ms:.0f} ms")


def _check_writable(connection: psycopg.Connection, where: str) -> Check:
    row = connection.execute("SELECT pg_is_in_recovery(), current_setting('transaction_read_only')").fetchone()
    assert row
    if row[0]:
        return Check("writable", "failed", f"database {where}: a standby, which is read-only; connect to the primary")
    if row[1] == "on":
        return Check(
            "writable",
            "failed",
            f"database {where}: sessions of this role are read-only (default_transaction_read_only); "
            "use a role that may write",
        )
    return Check("writable", "passed", "a primary that takes writes")


def _check_pooler(connection: psycopg.Connection, url: str, settings: Settings, where: str) -> Check:
    """Two sessions that are ours at once have two backends, each always the same one; behind a pooler they share."""
    mine = {_backend(connection)}
    with connect(url, settings, autocommit=False) as other:
        theirs = {_backend(other)}  # its transaction stays open, and keeps a pooler's backend to itself
        if not mine & theirs:
            mine |= {_backend(connection) for _ in range(_PIDS_ASKED)}
        other.rollback()
        theirs |= {_backend(other)}
        other.rollback()
    if len(mine) == len(theirs) == 1 and not mine & theirs:
        return Check("pooler", "passed", "a session keeps its backend: no pooler in transaction mode")
    return Check(
        "pooler",
        "failed",
        f"database {where}: a pooler in transaction mode is in between, where neither the writer lock nor session "
        "settings hold; connect directly, or to the pooler's session mode (on Supabase: port 5432 instead of 6543)",
    )


def _backend(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT pg_backend_pid()", prepare=False).fetchone()
    assert row
    return int(row[0])


def _check_schema(connection: psycopg.Connection) -> Check:
    try:
        require_schema(connection)
    except TargetError as error:
        return Check("schema", "failed", str(error))
    return Check("schema", "passed", "the schema is the one this version needs")


def _check_privileges(connection: psycopg.Connection, on_conflict: str) -> Check:
    needed = dict(_NEEDED)
    if on_conflict == "replace":
        needed["analytics_events"] += ("DELETE",)
    lacking = [
        f"{privilege} on {table}"
        for table, privileges in needed.items()
        for privilege in privileges
        if not _ask(connection, "SELECT has_table_privilege(%s, %s)", table, privilege)
    ]
    if not _ask(connection, "SELECT has_sequence_privilege('import_chunks_chunk_id_seq', 'USAGE')"):
        lacking.append("USAGE on sequence import_chunks_chunk_id_seq")
    if not _ask(connection, "SELECT has_function_privilege('hindcast_add_month(date)', 'EXECUTE')"):
        lacking.append("EXECUTE on function hindcast_add_month")
    elif not _ask(connection, _CAN_ADD_MONTHS):
        lacking.append("CREATE on schema public, or the ownership of analytics_events, for hindcast_add_month's owner")
    role = _ask(connection, "SELECT current_user")
    if _ask(connection, "SELECT row_security_active('analytics_events')"):
        lacking.append("BYPASSRLS (analytics_events has row-level security, under which COPY is refused)")
    if lacking:
        told = f"role {role} lacks {', '.join(lacking)}; see docs/sql/roles.sql for what to grant"
        return Check("privileges", "failed", told)
    return Check("privileges", "passed", f"role {role} may write events, ledger and rollups, and add months")


_CAN_ADD_MONTHS: Final = """
    SELECT pg_has_role(runs_as, c.relowner, 'USAGE') AND has_schema_privilege(runs_as, c.relnamespace, 'CREATE')
    FROM pg_proc AS p
    INNER JOIN pg_class AS c
        ON c.oid = 'analytics_events'::regclass
    CROSS JOIN LATERAL (
        SELECT CASE WHEN p.prosecdef THEN p.proowner ELSE to_regrole(quote_ident(current_user))::oid END AS runs_as
    ) AS r
    WHERE p.oid = 'hindcast_add_month(date)'::regprocedure
"""


def _check_partitions(connection: psycopg.Connection) -> list[Check]:
    rows = connection.execute(
        "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT',"
        " c.relname ~ '^analytics_events_\\d{4}_\\d\\d$'"
        " FROM pg_inherits AS i INNER JOIN pg_class AS c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = 'analytics_events'::regclass ORDER BY c.relname"
    ).fetchall()
    default = [name for name, is_default, _ in rows if is_default]
    if default:
        told = (
            f"{default[0]} is a DEFAULT partition: adding a month would scan and lock it, and rows in it block the "
            f"month; move its rows to months, then DROP TABLE {default[0]}"
        )
        return [Check("partitions", "failed", told)]
    others = [name for name, _, is_ours in rows if not is_ours]
    if others:
        told = f"partitions {_shorten(others)} are not months of ours: a month that one of them overlaps cannot be made"
        return [Check("partitions", "warned", told)]
    if left := find_left(connection):
        space = size(sum(find_retired(connection).values()))
        told = (
            f"{_shorten(left)}: {space} to give back, or a trigger to drop, of a rollback that is under way, or was "
            "killed, or met a lock; the next rollback or restore does it"
        )
        return [Check("partitions", "warned", told)]
    return [Check("partitions", "passed", f"{len(rows)} monthly partitions, none of them DEFAULT")]


def _check_sessions(connection: psycopg.Connection, needed: int) -> Check:
    row = connection.execute(
        "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
        " - coalesce(current_setting('reserved_connections', true), '0')::int"
        " - (SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL),"
        " (SELECT nullif(rolconnlimit, -1) - (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user)"
        " FROM pg_roles WHERE rolname = current_user),"
        " (SELECT nullif(datconnlimit, -1) - (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database())"
        " FROM pg_database WHERE datname = current_database())"
    ).fetchone()
    assert row
    names = ("max_connections of the server", "the connection limit of this role", "that of this database")
    free, limited_by = min((count, name) for count, name in zip(row, names, strict=True) if count is not None)
    told = f"{max(free, 0)} connections are free ({limited_by}), the load needs {needed}"
    if free < needed:
        return Check("connections", "failed", f"{told}; free some, raise the limit or lower HINDCAST_WORKERS")
    if free < needed + _SESSIONS_TO_SPARE:
        return Check("connections", "warned", f"{told}: little is left for the platform")
    return Check("connections", "passed", told)


def _ask(connection: psycopg.Connection, question: str, *parameters: str) -> object:
    row = connection.execute(question.encode(), parameters or None).fetchone()
    return row[0] if row else None


def _shorten(names: Sequence[str], most: int = 6) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
