"""Measuring the target and the dashboard for the report."""

import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psycopg
import pytest
from loading import load, make_event, write_export

from hindcast.measure import (
    DASHBOARD_QUERIES,
    TargetFacts,
    fetch_dashboard,
    join_days,
    measure_target,
    time_dashboard_queries,
)

pytest_plugins = ["loading_fixtures"]
FIRST, LAST = datetime(2024, 1, 31, 23, 0, tzinfo=UTC), datetime(2024, 2, 1, 0, 9, tzinfo=UTC)


def test_rows_are_counted_by_utc_day_up_to_the_last_event(target: str, tmp_path: Path) -> None:
    load(target, write_export(tmp_path / "h.jsonl", map(make_event, range(70))))
    with psycopg.connect(target, options="-c timezone=Asia/Tokyo") as connection:
        facts = measure_target(connection, FIRST, LAST, None)
    assert facts.days == {date(2024, 1, 31): 60, date(2024, 2, 1): 10}
    assert facts.rows == 70
    assert facts.table_bytes > 0 and facts.index_bytes > 0


def test_a_runs_own_rows_are_not_those_of_before(target: str, tmp_path: Path) -> None:
    load(target, write_export(tmp_path / "first.jsonl", map(make_event, range(5))))
    second = load(target, write_export(tmp_path / "second.jsonl", map(make_event, range(70))))
    with psycopg.connect(target) as connection:
        before = measure_target(connection, FIRST, LAST, second.run.run_id)
        after = measure_target(connection, FIRST, LAST, None)
    assert join_days(before, after) == [
        {"day": "2024-01-31", "before": 5, "after": 60},
        {"day": "2024-02-01", "before": 0, "after": 10},
    ]


def test_an_export_without_events_measures_sizes_only(target: str) -> None:
    with psycopg.connect(target) as connection:
        facts = measure_target(connection, None, None, None)
    assert (facts.rows, facts.days) == (0, {}) and facts.table_bytes > 0
    assert join_days(TargetFacts(), facts) == []


def test_the_dashboards_queries_run_on_an_empty_table_too(target: str) -> None:
    with psycopg.connect(target) as connection:
        timings = time_dashboard_queries(connection, FIRST, LAST)
    assert [timing["name"] for timing in timings] == list(DASHBOARD_QUERIES)
    assert all(timing["milliseconds"] >= 0 for timing in timings)


class Dashboard(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        is_known = self.headers.get("Authorization", "").startswith("Basic ")
        self.send_response(200 if is_known else 401)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def dashboard() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Dashboard) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}/api/admin/analytics"
        server.shutdown()


def test_the_dashboards_answer_is_reported_without_the_secrets_of_its_address(dashboard: str) -> None:
    found = fetch_dashboard(f"http://admin:secret@{dashboard}?token=secret")
    assert (found["url"], found["status"]) == (f"http://{dashboard}", 200)
    assert found["milliseconds"] > 0
    assert fetch_dashboard(f"http://{dashboard}")["status"] == 401


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "not an address", "http://[", "file:///etc/passwd", ""])
def test_a_dashboard_that_does_not_answer_is_reported_and_no_error(url: str) -> None:
    assert str(fetch_dashboard(url)["status"]).startswith("no answer (")
