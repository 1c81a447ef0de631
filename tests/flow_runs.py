"""Runs flows in this process, and reads what they leave."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hindcast.errors import RunFailed

PROJECT = Path(__file__).parents[1]
SAMPLE = PROJECT / "tests" / "data" / "analytics-history-sample.jsonl"


@dataclass(frozen=True)
class Outcome:
    """How a flow ended: its report, and what the shell would exit with."""

    report: dict[str, Any]
    exit_code: int = 0


def run_flow(flow: Any, **parameters: Any) -> Outcome:
    """Run a flow in this process; a run that fails has a report too."""
    try:
        path = flow(**parameters)
    except RunFailed as error:
        return Outcome(_read_report(error.report_path), error.exit_code)
    return Outcome(_read_report(path))


def backfill(file: Path, **parameters: Any) -> Outcome:
    from flows.backfill import backfill as flow  # importing Prefect takes seconds: not when tests are collected

    return run_flow(flow, file=str(file), operator="ab", **parameters)


def validate_export(file: Path, **parameters: Any) -> Outcome:
    from flows.validate_export import validate_export as flow

    return run_flow(flow, file=str(file), operator="ab", **parameters)


def wait_until(is_true: Callable[[], bool]) -> None:
    """Ask five times a second (each question costs the machine something) until it is so."""
    deadline = time.monotonic() + 90
    while not is_true():
        assert time.monotonic() < deadline, "waited 90 s in vain"
        time.sleep(0.2)


def _read_report(path: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(Path(path).with_suffix(".json").read_text())
    return report
