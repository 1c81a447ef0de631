"""The dry run and the plan: they check, and write nothing to any database."""

import json
from pathlib import Path

import pytest
from flow_runs import backfill, validate_export
from loading import count_events, make_event, query, write_export

pytest_plugins = ["flow_fixtures", "loading_fixtures"]
pytestmark = pytest.mark.flow


def test_a_dry_run_needs_no_database(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/nothing")
    monkeypatch.setenv("HINDCAST_REJECT_SHARE_LIMIT", "0.5")
    export = write_export(tmp_path / "history.jsonl", [make_event(0), "not json", make_event(1)])
    report = validate_export(export).report
    assert (report["status"], report["dry_run"], report["run_id"]) == ("succeeded", True, None)
    assert (report["staged"], report["rejected"], report["loaded"]) == (2, 1, 0)
    assert "no database was opened" in report["not_checked"][0]
    reject = json.loads(Path(report["report_path"]).with_name("rejects.jsonl").read_text())
    assert (reject["part"], reject["line"], reject["code"]) == ("history.jsonl", 2, "malformed_json")
    assert not (tmp_path / "home" / "server_health_report.json").exists()


def test_a_plan_counts_new_already_there_and_conflicting_and_loads_nothing(database: str, tmp_path: Path) -> None:
    # One a minute from 2024-01-31 23:00: number 60 is the first of February.
    own = {"event_id": "own-1"}
    backfill(write_export(tmp_path / "first.jsonl", [make_event(0, **own), make_event(2), make_event(60)]))
    changed = make_event(0, **own, payload={"number": "another"})
    export = write_export(tmp_path / "second.jsonl", [changed, make_event(2), make_event(4), make_event(61)])
    report = validate_export(export, compare=True).report
    names = ("month", "event_type", "export", "new", "already_there", "conflicting")
    assert [tuple(row[name] for name in names) for row in report["months"]] == [
        ("2024-01", "lesson_completed", 3, 1, 1, 1),
        ("2024-02", "lesson_started", 1, 1, 0, 0),
    ]
    assert count_events(database) == 3
    assert query(database, "SELECT count(*) FROM import_runs") == [(1,)]
