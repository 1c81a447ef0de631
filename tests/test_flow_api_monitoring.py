"""A generated export of API monitoring, through Prefect from beginning to end."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flow_runs import backfill
from loading import count_events, query

from hindcast.synthetic import GenerateSpec, generate
from hindcast.synthetic.marking import mark_report

pytest_plugins = ["flow_fixtures", "loading_fixtures"]
pytestmark = pytest.mark.flow


def test_a_generated_array_gives_its_answer_key_and_loads_nothing_again(database: str, tmp_path: Path) -> None:
    export = tmp_path / "calls.json"
    start = datetime(2024, 1, 30, tzinfo=UTC)
    answers = generate(GenerateSpec("api_monitoring", 4_000, 7, export, start, start + timedelta(hours=72)))
    key = json.loads((tmp_path / "calls.json.answers.json").read_text())
    first = backfill(export, chunk=500).report
    assert (first["format"], first["status"]) == ("api_monitoring", "succeeded")
    assert mark_report(first, key) == []
    contradictions = ("errors_without_details", "details_without_error")
    assert all(first["notes"][name] == answers.planted[name] > 0 for name in contradictions)
    assert {rollup["rollup"]: rollup["status"] for rollup in first["rollups"]} == dict.fromkeys(
        ("daily_events", "hourly_service_health", "daily_geography"), "passed"
    )
    assert {gate["suite"]: gate["status"] for gate in first["gates"]}["api_monitoring"] == "passed"
    requests = query(database, "SELECT sum(requests) FROM hourly_service_health")[0][0]
    assert requests == answers.loaded - answers.planted["other_type"]
    assert query(database, "SELECT sum(events) FROM daily_geography") == [(answers.loaded,)]
    second = backfill(export, chunk=700).report
    assert second["loaded"] == 0 and mark_report(second, key) == []
    assert count_events(database) == answers.loaded
