"""Rollups: derived tables by day, rebuilt for the days that changed and proved against the raw rows.

A rollup is one `.sql` here (a SELECT whose columns are the table's, day first) and a table of the same name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import IsolationLevel, sql

ROLLUPS: Final = ("daily_events", "daily_course_engagement", "daily_lesson_dropoff")

# A month's distinct users are then sorted in memory: a third of the time.
_SET_MEMORY: Final = "SET LOCAL work_mem = '128MB'"


@dataclass(frozen=True)
class RollupProof:
    """A rollup as found: `differing` rows are not what a GROUP BY of the raw gives, `missing` are absent."""

    rollup: str
    buckets: int
    rows: int
    differing: int
    missing: int

    @property
    def is_proved(self) -> bool:
        return not self.differing and not self.missing


def rebuild_rollup(connection: psycopg.Connection, rollup: str, days: Sequence[date]) -> RollupProof:
    """Rebuild a rollup for these days and prove it, in one REPEATABLE READ transaction. Safe to run twice."""
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    try:
        with connection.transaction():
            connection.execute(_SET_MEMORY)
            select, name = _select(rollup), sql.Identifier(rollup)
            for start, end in merge_days(days):
                window = {
                    "window_start": _midnight(start),
                    "window_end": _midnight(end),
                    "first": start,
                    "end": end,
                }
                delete = sql.SQL("DELETE FROM {} WHERE day >= %(first)s AND day < %(end)s").format(name)
                connection.execute(delete, window)
                connection.execute(sql.SQL("INSERT INTO {} ").format(name) + select, window)
            return _prove(connection, rollup, days)
    finally:
        connection.isolation_level = None


def prove_rollup(connection: psycopg.Connection, rollup: str, days: Sequence[date]) -> RollupProof:
    """Compare a rollup with a GROUP BY of the raw rows, as they are now; changes nothing."""
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    try:
        with connection.transaction():
            connection.execute(_SET_MEMORY)
            return _prove(connection, rollup, days)
    finally:
        connection.isolation_level = None


def days_with_rows(connection: psycopg.Connection, start: datetime | None, end: datetime | None) -> list[date]:
    """Days that have raw rows or rollup rows in a window, in order."""
    bounds = {
        "start": start or datetime.min.replace(tzinfo=UTC),
        "end": end or datetime.max.replace(tzinfo=UTC),
    }
    rows = connection.execute(
        "SELECT DISTINCT (created_at AT TIME ZONE 'UTC')::date FROM analytics_events"
        " WHERE created_at >= %(start)s AND created_at < %(end)s"
        " UNION SELECT day FROM daily_events"
        " WHERE day >= (%(start)s AT TIME ZONE 'UTC')::date AND day < %(end)s AT TIME ZONE 'UTC'"
        " ORDER BY 1",
        bounds,
    )
    return [day for (day,) in rows]


def merge_days(days: Sequence[date]) -> list[tuple[date, date]]:
    """Merge days into half-open ranges, so that a month is one statement."""
    ranges: list[tuple[date, date]] = []
    for day in sorted(set(days)):
        if ranges and ranges[-1][1] == day:
            ranges[-1] = (ranges[-1][0], day + timedelta(days=1))
        else:
            ranges.append((day, day + timedelta(days=1)))
    return ranges


def _prove(connection: psycopg.Connection, rollup: str, days: Sequence[date]) -> RollupProof:
    proof = sql.SQL(
        "WITH fresh AS MATERIALIZED ({select}), kept AS MATERIALIZED"
        " (SELECT * FROM {name} WHERE day >= %(first)s AND day < %(end)s)"
        " SELECT (SELECT count(*) FROM kept),"
        " (SELECT count(*) FROM (TABLE kept EXCEPT ALL TABLE fresh) AS d),"
        " (SELECT count(*) FROM (TABLE fresh EXCEPT ALL TABLE kept) AS m)"
    ).format(select=_select(rollup), name=sql.Identifier(rollup))
    rows = differing = missing = 0
    for start, end in merge_days(days):
        window = {"window_start": _midnight(start), "window_end": _midnight(end), "first": start, "end": end}
        found = connection.execute(proof, window).fetchone()
        assert found
        rows, differing, missing = rows + found[0], differing + found[1], missing + found[2]
    return RollupProof(rollup, len(set(days)), rows, differing, missing)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


@cache
def _select(rollup: str) -> sql.SQL:
    text: Any = (Path(__file__).parent / f"{rollup}.sql").read_text()
    return sql.SQL(text)  # ours, not input
