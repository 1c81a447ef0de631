"""Ending a run: its status, its report, its row in the ledger, its entry in the health file."""

import json
from pathlib import Path

import pytest
from loading import begin, make_event, query, write_export

from hindcast.closing import close_run, end_status
from hindcast.errors import (
    ConfigurationError,
    ExportError,
    GateError,
    TargetError,
    TransientError,
    VerificationError,
    WorkerDied,
)
from hindcast.findings import Findings
from hindcast.findings import begin as begin_findings
from hindcast.plan import Request
from hindcast.settings import load_settings

pytest_plugins = ["loading_fixtures"]
NOWHERE = "postgresql://127.0.0.1:1/nothing"
LEDGER = "SELECT status, error, finished_at IS NOT NULL, counts->>'loaded' FROM import_runs"


@pytest.fixture
def loaded(target: str, tmp_path: Path) -> Findings:
    """A run with three rows in, about to be closed."""
    run = begin(target, write_export(tmp_path / "h.jsonl", map(make_event, range(3))))
    run.load()
    findings = begin_findings(Request(file="h.jsonl", operator="ab"), is_dry_run=False)
    findings.plan, findings.folder, findings.manifest, findings.run = run.plan, run.folder, run.manifest, run.run
    return findings


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, "succeeded"),
        (GateError("x"), "failed"),
        (VerificationError("x"), "failed"),
        (ExportError("x"), "failed"),
        (ConfigurationError("x"), "failed"),
        (TargetError("x"), "failed"),
        (TransientError("x"), "interrupted"),
        (WorkerDied("x"), "interrupted"),
        (KeyboardInterrupt(), "interrupted"),
        (KeyError("a fault of ours"), "interrupted"),
    ],
)
def test_only_what_running_again_can_mend_is_interrupted(error: BaseException | None, status: str) -> None:
    assert end_status(error) == status


def test_a_run_that_ended_well_is_closed_with_its_report_and_its_entry(loaded: Findings, target: str) -> None:
    report = close_run(loaded, None, target, load_settings())
    assert json.loads(Path(report["report_path"]).with_suffix(".json").read_text()) == report
    assert query(target, LEDGER) == [("succeeded", None, True, "3")]
    assert query(target, "SELECT report->>'run_id' FROM import_runs") == [(report["run_id"],)]
    health = json.loads((load_settings().home / "server_health_report.json").read_text())
    entry = health["hindcast"]["imports"][0]
    assert (entry["dataset"], entry["row_count"], entry["operator"]) == ("analytics_history", 3, "ab")


def test_an_interrupted_run_stays_open(loaded: Findings, target: str) -> None:
    report = close_run(loaded, KeyboardInterrupt(), target, load_settings())
    assert report["error"].startswith("KeyboardInterrupt")
    assert query(target, LEDGER) == [("interrupted", report["error"], False, "3")]


def test_a_target_that_is_gone_does_not_stop_the_report(loaded: Findings, target: str) -> None:
    report = close_run(loaded, TransientError("the connection is lost"), NOWHERE, load_settings())
    assert (report["status"], report["error"]) == ("interrupted", "the connection is lost")
    assert Path(report["report_path"]).exists()
    assert query(target, LEDGER) == [("running", None, False, None)]


def test_without_a_target_nothing_but_the_report_is_written(loaded: Findings, target: str) -> None:
    loaded.run = None
    close_run(loaded, None, None, load_settings())
    assert query(target, LEDGER) == [("running", None, False, None)]
    assert not (load_settings().home / "server_health_report.json").exists()


def test_a_health_file_that_cannot_be_written_does_not_hide_what_ended_the_run(loaded: Findings, target: str) -> None:
    (load_settings().home / "server_health_report.json").write_text("not ours")
    assert close_run(loaded, GateError("the gate says no"), target, load_settings())["error"] == "the gate says no"
    with pytest.raises(ConfigurationError, match="server_health_report"):
        close_run(loaded, None, target, load_settings())
    assert query(target, LEDGER)[0][0] == "succeeded"
