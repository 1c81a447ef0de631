"""Backfill through Prefect: what it loads, records, reports and refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
from flow_runs import SAMPLE, backfill, wait_until
from loading import begin, count_events, make_event, query, write_export

from hindcast.settings import load_settings
from hindcast.synthetic import GenerateSpec, generate
from hindcast.synthetic.marking import mark_report
from hindcast.writer_lock import hold_target

pytest_plugins = ["flow_fixtures", "loading_fixtures"]
pytestmark = pytest.mark.flow

# What others script against.
KEYS = """
run_id status dataset format dry_run lines staged loaded derived duplicate conflict rejected skipped out_of_window
sanitised naive_times first_at last_at months gates rollups verification seconds startup_seconds events_per_second
report_path
"""


def test_the_sample_loads_three_rows_and_then_finds_three_duplicates(database: str) -> None:
    first, second = backfill(SAMPLE).report, backfill(SAMPLE).report
    assert (first["loaded"], first["duplicate"]) == (3, 0)
    assert (second["loaded"], second["duplicate"]) == (0, 3)
    assert count_events(database) == 3
    assert [run["verification"]["status"] for run in (first, second)] == ["passed", "passed"]
    assert query(database, "SELECT status, attempts, counts->>'loaded' FROM import_runs ORDER BY started_at") == [
        ("succeeded", 1, "3"),
        ("succeeded", 1, "0"),
    ]


def test_the_report_says_what_was_found_and_the_health_file_that_it_happened(database: str, tmp_path: Path) -> None:
    report = backfill(SAMPLE).report
    assert set(KEYS.split()) <= set(report)
    assert Path(report["report_path"]).read_text().startswith("<!doctype html>")
    assert {gate["suite"]: gate["status"] for gate in report["gates"]} == dict.fromkeys(
        ("analytics_history", "export", "rollups", "loaded"), "passed"
    )
    assert [(row["export"], row["table"]) for row in report["months"]] == [(1, 1)] * 3
    assert report["table"]["rows_before"] == 0 and report["table"]["rows_after"] == 3
    assert report["not_checked"] == []
    entry = json.loads((tmp_path / "home" / "server_health_report.json").read_text())["hindcast"]["imports"][0]
    assert (entry["row_count"], entry["operator"], entry["run_id"]) == (3, "ab", report["run_id"])


def test_prefect_shows_the_run_its_tasks_and_its_artifacts_by_name(database: str) -> None:
    backfill(SAMPLE, dataset="shown")
    names = {"stage shown", "open run of shown", "gate chunks 0-0", "load chunks 0-0", "rebuild daily_events"}
    wait_until(lambda: names <= task_names("backfill shown analytics-history-sample.jsonl"))
    keys = {"report", "report-html", "gate-analytics-history", "gate-export", "gate-rollups", "gate-loaded"}
    assert keys <= artifact_keys("backfill shown analytics-history-sample.jsonl")


def test_a_generated_export_gives_its_answer_key_and_loads_nothing_again(database: str, tmp_path: Path) -> None:
    export = tmp_path / "history.jsonl"
    answers = generate(GenerateSpec("analytics_history", 5_000, 7, export))
    key = json.loads((tmp_path / "history.jsonl.answers.json").read_text())
    first = backfill(export, chunk=500).report
    assert mark_report(first, key) == []
    second = backfill(export, chunk=700).report
    assert second["loaded"] == 0 and mark_report(second, key) == []
    assert count_events(database) == answers.loaded
    rejects = query(database, "SELECT count(*) FROM import_rejects WHERE run_id = %s", first["run_id"])
    assert rejects == [(answers.rejected,)]


def test_rows_deleted_since_are_loaded_again(database: str, tmp_path: Path) -> None:
    export = write_export(tmp_path / "history.jsonl", map(make_event, range(40)))
    backfill(export)
    query(database, "DELETE FROM analytics_events WHERE export_line <= 10")
    report = backfill(export).report
    assert (report["loaded"], report["duplicate"], count_events(database)) == (10, 30, 40)


def test_a_second_backfill_refuses_and_names_the_run_at_work(database: str) -> None:
    at_work = begin(database, SAMPLE).run
    with hold_target(database, load_settings()) as lock:
        lock.tell("backfill", at_work.run_id)
        outcome = backfill(SAMPLE)
    assert outcome.exit_code == 1
    assert f"run {at_work.run_id} (analytics_history, by ab, started " in outcome.report["error"]
    assert count_events(database) == 0
    assert query(database, "SELECT attempts FROM import_runs") == [(1,)]


def read_runs(name: str, kind: str) -> list[Any]:
    """Task runs or artifacts of the flow runs of that name, as the API has them."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName

    with get_client(sync_client=True) as client:
        named = FlowRunFilter(name=FlowRunFilterName(any_=[name]))
        read = client.read_task_runs if kind == "task runs" else client.read_artifacts
        return list(read(flow_run_filter=named))


def task_names(flow_run: str) -> set[str]:
    return {run.name for run in read_runs(flow_run, "task runs") if run.state and run.state.is_completed()}


def artifact_keys(flow_run: str) -> set[str]:
    return {artifact.key for artifact in read_runs(flow_run, "artifacts")}
