"""Acceptance: a task a phase, so that each shows in Prefect as what it came to; the report at the end."""

from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from hindcast.acceptance.outcome import AcceptanceReport, CheckFailed, Phase, PhaseResult, render_markdown, write_report
from hindcast.acceptance.run import Progression


@task(name="acceptance phase", task_run_name="phase {phase.name}", cache_policy=NO_CACHE, persist_result=False)
def check_phase(phase: Phase[Any], stage: Any, progression: Progression) -> None:
    """Run the checks of one phase; raises CheckFailed, after noting all of them, when one failed."""
    _require_passed(progression.take(phase, stage))


@task(name="acceptance cleanup", task_run_name="cleanup", cache_policy=NO_CACHE, persist_result=False)
def clean_up(stage: Any, progression: Progression) -> None:
    """Remove what the run made; raises CheckFailed when anything is left."""
    _require_passed(progression.clean_up(stage))


@task(name="acceptance report", task_run_name="report", cache_policy=NO_CACHE)
def publish_report(report: AcceptanceReport, folder: Path) -> str:
    """Write report.txt and report.json and publish the table; returns the path of report.txt."""
    path = write_report(report, folder)
    create_markdown_artifact(key="acceptance", markdown=render_markdown(report), description=report.summary)
    return str(path)


def _require_passed(result: PhaseResult) -> None:
    failed = [check for check in result.checks if check.status == "failed"]
    if failed:
        raise CheckFailed(f"phase {result.name}: {failed[0].name}: {failed[0].detail}")
