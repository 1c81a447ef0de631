"""Verify through Prefect: it finds what was changed since, and changes nothing itself."""

from pathlib import Path

import pytest
from flow_runs import SAMPLE, Outcome, backfill, run_flow
from loading import query
from undoing import roll_back

pytest_plugins = ["flow_fixtures", "loading_fixtures"]
pytestmark = pytest.mark.flow

LEDGER = "SELECT status, attempts, gates, finished_at, report->>'status' FROM import_runs"


def verify(run: str) -> Outcome:
    from flows.verify import verify as flow

    return run_flow(flow, run=run)


def test_verify_names_the_field_that_was_edited_and_leaves_the_ledger_alone(database: str) -> None:
    run_id = backfill(SAMPLE).report["run_id"]
    before = query(database, LEDGER)
    assert verify(run_id[:8]).report["status"] == "succeeded"
    query(database, """UPDATE analytics_events SET payload = '{"score": 0.1}' WHERE event_type = 'course_completed'""")
    outcome = verify(run_id)
    assert outcome.exit_code == 1
    assert (
        "analytics-history-sample.jsonl line 3 field payload.score: export 0.92, table 0.1" in outcome.report["error"]
    )
    assert [(d["line"], d["field"]) for d in outcome.report["verification"]["differences"]] == [(3, "payload.score")]
    assert query(database, LEDGER) == before


def test_what_was_rolled_back_since_fails_no_check(database: str) -> None:
    run_id = backfill(SAMPLE).report["run_id"]
    for event_type, left in (("course_completed", 2), (None, 0)):
        roll_back(database, run_id, event_type=event_type)
        outcome = verify(run_id)
        assert (outcome.exit_code, outcome.report["verification"]["status"]) == (0, "passed")
        assert outcome.report["verification"]["rolled_back"] == 3 - left
        assert (outcome.report["loaded"], sum(row["table"] for row in outcome.report["months"])) == (3, left)
        told = {check["name"]: check["detail"] for check in outcome.report["verification"]["checks"]}
        assert told["spot checks"] == (
            f"{left} of {left} records re-read from the export's own bytes equal their rows;"
            f" {3 - left} more were rolled back since"
        )


def test_a_run_that_is_not_there_is_a_usage_error(database: str) -> None:
    outcome = verify("0000")
    assert outcome.exit_code == 2
    assert outcome.report["error"] == "run '0000': no such run; `hindcast runs` lists them"
    assert Path(outcome.report["report_path"]).exists()
