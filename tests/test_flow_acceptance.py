"""Acceptance through Prefect: a task a phase, a report, an exit code."""

import pytest
from accepting import QueryServer
from flow_runs import Outcome, run_flow
from loading import query

from hindcast.sockets import find_free_port

pytest_plugins = ["flow_fixtures", "loading_fixtures", "objects_fixtures", "acceptance_fixtures"]
pytestmark = pytest.mark.flow


def accept(mode: str) -> Outcome:
    from flows.acceptance import acceptance

    return run_flow(acceptance, mode=mode)


def test_local_mode_is_green_and_leaves_nothing(database: str) -> None:
    outcome = accept("local")
    assert (outcome.exit_code, outcome.report["status"]) == (0, "passed")
    assert [phase["status"] for phase in outcome.report["phases"]] == ["passed"] * 7
    assert query(database, "SELECT count(*) FROM analytics_events") == [(0,)]


def test_a_phase_that_fails_stops_the_later_ones_and_fails_the_run(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPTURE_ENDPOINT", f"http://127.0.0.1:{find_free_port()}")
    outcome = accept("local")
    assert outcome.exit_code == 1
    statuses = {phase["name"]: phase["status"] for phase in outcome.report["phases"]}
    assert statuses["1 endpoint"] == "failed" and statuses["2 blobs"] == "not started"
    assert statuses["cleanup"] == "passed"


def test_production_mode_is_green(database: str, platform: QueryServer) -> None:
    outcome = accept("production")
    assert (outcome.exit_code, outcome.report["status"]) == (0, "passed")
    assert outcome.report["phases"][-1]["checks"][0]["detail"] == "read-only: nothing was made"
