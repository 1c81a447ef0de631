"""Rollups: derived tables by day, rebuilt for the days that changed and proved against the raw rows.

A rollup is one `.sql` here (a SELECT whose columns are the table's, day first) and a table of the same name.
"""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import IsolationLevel, sql

from hindcast.rollups.first_seen import count_wrong_first_seen, refresh_first_seen
from hindcast.times import merge_days, midnight

# Name, and the sources whose imports can change it (None: any); rollbacks and whole rebuilds take them all.
ROLLUPS: Final[dict[str, frozenset[str] | None]] = {
    "daily_events": None,
    "daily_course_engagement": frozenset({"analytics_history"}),
    "daily_lesson_dropoff": frozenset({"analytics_history"}),
    "daily_active_users": frozenset({"amplitude"}),
    "daily_groups": frozenset({"amplitude"}),
    "hourly_service_health": frozenset({"api_monitoring"}),
    "daily_geography": frozenset({"api_monitoring"}),
    "daily_email_engagement": frozenset({"email_engagement"}),
    "minute_engagement": frozenset({"email_engagement"}),
    "esp_latency": frozenset({"email_engagement"}),
    "daily_llm_usage": frozenset({"llm_analytics"}),
}

FIRST_SEEN: Final = "daily_active_users"  # its newcomers depend on other days, too

_SETTINGS: Final = (
    "SET LOCAL work_mem = '128MB'",  # a month's distinct users are then sorted in memory: a third of the time
    # Of months just loaded there are no statistics, and the planner would read them whole by their primary key,
    # 1.7 times slower; for a few days the block ranges remain.
    "SET LOCAL enable_indexscan = off",
    "SET LOCAL max_parallel_workers_per_gather = 0",  # the target's cores are the platform's
)
# Of the table, for one sort: of a row, a fifth is sorted.
SPAN_BYTES: Final = 512 * 1024 * 1024
# Rows, and the sum of the hashes of all their bytes: equal ones have equal rows, whatever their order.
_SUMS: Final = sql.SQL(
    "SELECT count(*), sum(hash_record_extended(ROW(record_send(r)), {seed})) FROM ({kept}) AS r"
    " UNION ALL SELECT count(*), sum(hash_record_extended(ROW(record_send(r)), {seed})) FROM fresh_rollup AS r"
)
_DIFFERENCES: Final = sql.SQL(
    "WITH kept AS MATERIALIZED ({kept}) SELECT (SELECT count(*) FROM kept),"
    " (SELECT count(*) FROM (TABLE kept EXCEPT ALL TABLE fresh_rollup) AS d),"
    " (SELECT count(*) FROM (TABLE fresh_rollup EXCEPT ALL TABLE kept) AS m)"
)
_IN_DAYS: Final = sql.SQL("(day >= %s AND day < %s)")


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


def rollups_of(source: str) -> list[str]:
    """The rollups that an import of that source can change."""
    return [name for name, sources in ROLLUPS.items() if sources is None or source in sources]


def rebuild_rollup(connection: psycopg.Connection, rollup: str, days: Sequence[date]) -> RollupProof:
    """Rebuild a rollup for these days and prove it, in one REPEATABLE READ transaction. Safe to run twice."""
    with _snapshot(connection):
        if rollup == FIRST_SEEN:
            days = refresh_first_seen(connection, days)
        _group_raw_rows(connection, rollup, days)
        name = sql.Identifier(rollup)
        for start, end in merge_days(days):
            connection.execute(sql.SQL("DELETE FROM {} WHERE {}").format(name, _IN_DAYS), (start, end))
        # Keys come first; out of order, each row would go to another page of the index.
        connection.execute(sql.SQL("INSERT INTO {} SELECT * FROM fresh_rollup ORDER BY 1, 2, 3").format(name))
        return _prove(connection, rollup, days)


def prove_rollup(connection: psycopg.Connection, rollup: str, days: Sequence[date]) -> RollupProof:
    """Compare a rollup with a GROUP BY of the raw rows, as they are now; changes nothing."""
    with _snapshot(connection):
        wrong = count_wrong_first_seen(connection, days) if rollup == FIRST_SEEN else 0
        _group_raw_rows(connection, rollup, days)
        proof = _prove(connection, rollup, days)
        return replace(proof, differing=proof.differing + wrong)


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


@contextmanager
def _snapshot(connection: psycopg.Connection) -> Iterator[None]:
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    try:
        with connection.transaction():
            for setting in _SETTINGS:
                connection.execute(setting)
            yield
    finally:
        connection.isolation_level = None


def _group_raw_rows(connection: psycopg.Connection, rollup: str, days: Sequence[date]) -> None:
    """What a GROUP BY of the raw rows gives, once: in one snapshot it can give nothing else later."""
    connection.execute(
        sql.SQL("CREATE TEMP TABLE fresh_rollup ON COMMIT DROP AS SELECT * FROM {} WHERE false").format(
            sql.Identifier(rollup)
        )
    )
    for start, end in list_spans(connection, days):
        # Of a month without statistics the planner takes block ranges to be of no use, and would read it whole for
        # each of its spans.
        is_month = end - start >= timedelta(days=28)
        connection.execute(sql.SQL("SET LOCAL enable_seqscan = {}").format(sql.Literal(is_month)))
        window = {"window_start": midnight(start), "window_end": midnight(end)}
        connection.execute(sql.SQL("INSERT INTO fresh_rollup ") + _select(rollup), window)


def list_spans(connection: psycopg.Connection, days: Sequence[date]) -> Iterator[tuple[date, date]]:
    """The days as spans of a month at most, of a large one of less: what is sorted at once then fits into memory."""
    for _, days_of_month in groupby(sorted(set(days)), key=lambda day: (day.year, day.month)):
        month = list(days_of_month)
        found = connection.execute(
            "SELECT coalesce(pg_relation_size(to_regclass(%s)), 0)", (f"analytics_events_{month[0]:%Y_%m}",)
        ).fetchone()
        assert found
        at_once = max(1, 31 // max(1, -(-found[0] // SPAN_BYTES)))
        for first in range(0, len(month), at_once):
            yield from merge_days(month[first : first + at_once])


def _prove(connection: psycopg.Connection, rollup: str, days: Sequence[date]) -> RollupProof:
    """Compare the rollup's stored rows with `fresh_rollup`: at once, and row by row when that shows a difference."""
    ranges = merge_days(days)
    kept = sql.SQL("SELECT * FROM {} WHERE ").format(sql.Identifier(rollup)) + (
        sql.SQL(" OR ").join([_IN_DAYS] * len(ranges)) if ranges else sql.SQL("false")
    )
    bounds = [bound for days_range in ranges for bound in days_range]
    buckets, seed = len(set(days)), secrets.randbits(63)
    stored, fresh = connection.execute(_SUMS.format(kept=kept, seed=seed), bounds).fetchall()
    if stored == fresh:
        return RollupProof(rollup, buckets, stored[0], 0, 0)
    found = connection.execute(_DIFFERENCES.format(kept=kept), bounds).fetchone()
    assert found
    return RollupProof(rollup, buckets, *found)


@cache
def _select(rollup: str) -> sql.SQL:
    text: Any = (Path(__file__).parent / f"{rollup}.sql").read_text()
    return sql.SQL(text)  # ours, not input
