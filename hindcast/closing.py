"""Ending a run: its report in files, its row in the ledger, its entry in the platform's health report."""

import contextlib
from pathlib import Path
from typing import Any

from hindcast.database import connect
from hindcast.errors import ConfigurationError, HindcastError, TargetError, TransientError, WindowClosed, WorkerDied
from hindcast.findings import Findings, build_report, write_rejects
from hindcast.health import HealthEntry, add_health_entry
from hindcast.ledger import count_replaced, finish_run, sum_counts
from hindcast.report import write_report
from hindcast.settings import Settings


def end_status(error: BaseException | None) -> str:
    """How a report says that a run ended.

    `succeeded`; `failed` when the export or the table is at fault; `interrupted` or `window_closed` when running again
    goes on.
    """
    if error is None:
        return "succeeded"
    if isinstance(error, WindowClosed):
        return "window_closed"
    if isinstance(error, HindcastError) and not isinstance(error, TransientError | WorkerDied):
        return "failed"
    return "interrupted"


def close_run(findings: Findings, error: BaseException | None, url: str | None, settings: Settings) -> dict[str, Any]:
    """Write the report and close the run; returns the report. A target that is gone does not stop the report."""
    status = end_status(error)
    if error is not None:
        findings.error = str(error) if isinstance(error, HindcastError) else f"{type(error).__name__}: {error}"
    folder = settings.reports_dir / findings.name
    folder.mkdir(parents=True, exist_ok=True)
    if url and findings.run:
        with contextlib.suppress(TargetError), connect(url, settings) as connection:
            findings.counts = sum_counts(connection, findings.run.run_id)
            findings.replaced = count_replaced(connection, findings.run.run_id)
    report = build_report(findings, status, folder / "report.html")
    write_rejects(findings, folder / "rejects.jsonl")
    write_report(report, folder)
    if url and findings.run:
        with contextlib.suppress(TargetError), connect(url, settings) as connection:
            in_ledger = "interrupted" if status == "window_closed" else status  # it goes on as after any interruption
            finish_run(connection, findings.run.run_id, in_ledger, report)
        # What ended the run is to be told, not that its entry could not be written either.
        with contextlib.suppress(*([ConfigurationError] if error else [])):
            _note_health(findings, report, settings)
    return report


def _note_health(findings: Findings, report: dict[str, Any], settings: Settings) -> None:
    path: Path = settings.health_report or settings.home / "server_health_report.json"
    entry = HealthEntry(
        date_time=report["finished_at"],
        dataset=report["dataset"],
        row_count=report["loaded"] or 0,
        operator=report["operator"] or "",
        run_id=report["run_id"],
        status=report["status"],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    add_health_entry(path, entry)
