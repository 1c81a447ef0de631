"""Report: write it, publish it, close the run, whatever happened before."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from prefect import task
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from hindcast.closing import close_run
from hindcast.errors import HindcastError, RunFailed, WindowClosed
from hindcast.findings import Findings
from hindcast.report import render_markdown
from hindcast.settings import Settings
from tasks.events import tell_end


@dataclass
class Target:
    """The database a flow works on (None until it is known, and always in a dry run), and where its report went."""

    url: str | None = None
    report_path: str | None = None
    is_closing: bool = True  # False: the ledger's run stays as it is


@contextmanager
def reported(findings: Findings, target: Target, settings: Settings) -> Iterator[None]:
    """Close the run and publish the report when the steps end, fail or are cancelled.

    Raises RunFailed, with the report's path, for what was wrong with the world, and WindowClosed, also with it;
    anything else goes on as it is.
    """
    try:
        yield
    except WindowClosed as closed:
        target.report_path = publish_report(findings, closed, target, settings)["report_path"]
        closed.report_path = target.report_path
        raise
    except HindcastError as error:
        target.report_path = publish_report(findings, error, target, settings)["report_path"]
        raise RunFailed(str(error), target.report_path, error.exit_code) from error
    except BaseException as error:
        close_run(findings, error, target.url if target.is_closing else None, settings)  # no more tasks may start
        raise
    target.report_path = publish_report(findings, None, target, settings)["report_path"]


@task(name="report", task_run_name="report {findings.name}", cache_policy=NO_CACHE)
def publish_report(
    findings: Findings, error: HindcastError | None, target: Target, settings: Settings
) -> dict[str, Any]:
    """Write report.json and report.html, close the run in the ledger, publish the artifacts."""
    report = close_run(findings, error, target.url if target.is_closing else None, settings)
    create_markdown_artifact(key="report", markdown=_with_link(report), description=f"run {findings.name}")
    create_link_artifact(link=f"file://{report['report_path']}", link_text="report.html", key="report-html")
    tell_end(report, findings.name, error)
    return report


def _with_link(report: dict[str, Any]) -> str:
    path = report["report_path"]
    return (
        f"{render_markdown(report)}\n\n---\nThe whole report: [report.html](file://{path}), on the worker at `{path}`"
    )
