"""Measuring the target for the report: rows by day, sizes, the dashboards' own queries. Reads only."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import psycopg

DASHBOARD_QUERIES: Final = {
    "events by month": (
        "SELECT date_trunc('month', created_at) AS month, count(*) FROM analytics_events"
        " WHERE created_at >= %(start)s AND created_at < %(end)s GROUP BY 1 ORDER BY 1"
    ),
    "course engagement by day": (
        "SELECT day, course_id, active_learners, events, avg_progress FROM daily_course_engagement"
        " WHERE day >= %(start)s::date AND day < %(end)s::date ORDER BY day, course_id LIMIT 1000"
    ),
    "lesson drop-off, all time": "SELECT * FROM lesson_dropoff ORDER BY started DESC LIMIT 100",
    "events by day and type": (
        "SELECT day, event_type, sum(events) FROM daily_events"
        " WHERE day >= %(start)s::date AND day < %(end)s::date GROUP BY 1, 2 ORDER BY 1, 2"
    ),
}


@dataclass
class TargetFacts:
    """The target as it is at one moment. `days` are counted in the export's range, without the given run's rows."""

    rows: int = 0
    table_bytes: int = 0
    index_bytes: int = 0
    days: dict[date, int] = field(default_factory=dict)


def measure_target(
    connection: psycopg.Connection,
    first_at: datetime | None,
    last_at: datetime | None,
    without_run: UUID | None,
) -> TargetFacts:
    """Sizes of `analytics_events` with its partitions, and its rows by UTC day from first_at to last_at."""
    facts = TargetFacts()
    row = connection.execute(
        "SELECT coalesce(sum(pg_table_size(relid)), 0), coalesce(sum(pg_indexes_size(relid)), 0)"
        " FROM pg_partition_tree('analytics_events')"
    ).fetchone()
    assert row
    facts.table_bytes, facts.index_bytes = int(row[0]), int(row[1])
    if first_at and last_at:
        rows = connection.execute(
            "SELECT (created_at AT TIME ZONE 'UTC')::date, count(*) FROM analytics_events"
            " WHERE created_at >= %(first)s AND created_at < %(end)s"
            " AND (%(run)s::uuid IS NULL OR import_chunk_id IS NULL"
            " OR import_chunk_id NOT IN (SELECT chunk_id FROM import_chunks WHERE run_id = %(run)s))"
            " GROUP BY 1",
            {"first": first_at, "end": last_at + timedelta(microseconds=1), "run": without_run},
        )
        facts.days = dict(rows.fetchall())
    facts.rows = sum(facts.days.values())
    return facts


def time_dashboard_queries(connection: psycopg.Connection, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """Run the standard dashboard queries over the export's range, once each; milliseconds to the last row."""
    timings = []
    for name, query in DASHBOARD_QUERIES.items():
        began = time.perf_counter()
        connection.execute(query.encode(), {"start": start, "end": end}).fetchall()
        timings.append({"name": name, "milliseconds": round((time.perf_counter() - began) * 1000, 1)})
    return timings


def fetch_dashboard(url: str) -> dict[str, Any]:
    """Fetch the configured dashboard once; its answer is reported, whatever it is, and never fails a run."""
    import httpx

    began = time.perf_counter()
    try:
        status: int | str = httpx.get(url, timeout=15, follow_redirects=True).status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        status = f"no answer ({type(error).__name__})"
    return {
        "url": _without_secrets(url),
        "status": status,
        "milliseconds": round((time.perf_counter() - began) * 1000, 1),
    }


def join_days(before: TargetFacts, after: TargetFacts) -> list[dict[str, Any]]:
    """Rows a day before and after, for the days that have any."""
    days: Sequence[date] = sorted(before.days.keys() | after.days.keys())
    return [{"day": d.isoformat(), "before": before.days.get(d, 0), "after": after.days.get(d, 0)} for d in days]


def _without_secrets(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(not an address)"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
