"""Gates that say no, and suites that are not there."""

import json
import shutil
import time
from pathlib import Path

import pytest
from flow_runs import PROJECT, SAMPLE, backfill, validate_export
from loading import count_events, make_event, query, write_export

pytest_plugins = ["flow_fixtures", "loading_fixtures"]
pytestmark = pytest.mark.flow


@pytest.fixture
def suites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shipped suites, in force."""
    folder = tmp_path / "suites"
    folder.mkdir()
    for path in (PROJECT / "expectations").glob("*.json"):
        shutil.copy(path, folder)
    monkeypatch.setenv("HINDCAST_EXPECTATIONS_DIR", str(folder))
    return folder


def add_impossible(suite: Path) -> None:
    content = json.loads(suite.read_text())
    content["expectations"].append(
        {
            "type": "expect_column_values_to_be_in_set",
            "severity": "critical",
            "description": "nobody learns",
            "meta": {"rule": "MY-001"},
            "kwargs": {"column": "event_type", "value_set": ["nothing"]},
        }
    )
    suite.write_text(json.dumps(content))


def test_a_failing_gate_stops_the_run_before_any_row_is_written(database: str, suites: Path, tmp_path: Path) -> None:
    add_impossible(suites / "analytics_history.json")
    export = write_export(tmp_path / "history.jsonl", [*map(make_event, range(200)), "not json"])
    outcome = backfill(export)
    assert (outcome.exit_code, outcome.report["status"], outcome.report["loaded"]) == (1, "failed", 0)
    assert "gate analytics_history: 1 of 16 checks failed; MY-001 (nobody learns)" in outcome.report["error"]
    assert count_events(database) == 0
    assert query(database, "SELECT count(*) FROM daily_events") == [(0,)]
    recorded = "SELECT status, gates->0->>'status', error ~ 'MY-001', report->>'status' FROM import_runs"
    assert query(database, recorded) == [("failed", "failed", True, "failed")]
    assert query(database, "SELECT line, code FROM import_rejects") == [(201, "malformed_json")]


def test_a_gate_that_fails_after_the_load_fails_the_run_and_says_how_to_undo_it(database: str, suites: Path) -> None:
    add_impossible(suites / "loaded.json")
    outcome = backfill(SAMPLE)
    assert (outcome.exit_code, outcome.report["status"], outcome.report["loaded"]) == (1, "failed", 3)
    assert count_events(database) == 3
    assert outcome.report["undo"] == f"hindcast rollback --run {outcome.report['run_id']} --apply"


def test_a_verdict_is_kept_until_the_suite_changes(database: str, suites: Path, tmp_path: Path) -> None:
    export = write_export(tmp_path / "history.jsonl", map(make_event, range(200)))
    checked = validate_export(export).report["gates"]
    assert [gate["judged_at"] for gate in checked] == ["", ""]
    events, whole, *after = backfill(export).report["gates"]
    assert events["judged_at"] and events["checks"] == checked[0]["checks"]
    assert not any(gate["judged_at"] for gate in (whole, *after)) and len(after) == 2
    add_impossible(suites / "analytics_history.json")
    assert "MY-001" in backfill(export).report["error"]
    assert count_events(database) == 200


@pytest.mark.parametrize("name", ["analytics_history", "loaded"])
def test_a_missing_suite_is_told_before_anything_is_done(database: str, suites: Path, name: str) -> None:
    (suites / f"{name}.json").unlink()
    outcome = backfill(SAMPLE)
    assert outcome.exit_code == 2
    assert f"lacks {name}.json" in outcome.report["error"]
    assert query(database, "SELECT count(*) FROM import_runs") == [(0,)]


def test_strict_refuses_an_export_with_a_single_reject(database: str, tmp_path: Path) -> None:
    export = write_export(tmp_path / "history.jsonl", [*map(make_event, range(200)), "not json"])
    outcome = backfill(export, strict=True)
    assert outcome.exit_code == 1 and "EX-003" in outcome.report["error"]
    assert backfill(export).report["loaded"] == 200


def test_a_conflict_that_is_to_fail_stops_the_load_at_once(database: str, tmp_path: Path) -> None:
    backfill(write_export(tmp_path / "first.jsonl", [make_event(0, event_id="own-1")]))
    export = write_export(tmp_path / "second.jsonl", [make_event(0, event_id="own-1", payload={})])
    began = time.monotonic()
    outcome = backfill(export, on_conflict="fail")
    assert "second.jsonl line 1: contradicts a row of the table" in outcome.report["error"]
    assert time.monotonic() - began < 40  # with retries it would be 50 s more
    assert (outcome.report["status"], count_events(database)) == ("failed", 1)
