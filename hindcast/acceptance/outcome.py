"""What a check, a phase and a run came to, and the report of them."""

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Generic, Literal, Protocol, TypeVar

import httpx
import psycopg

from hindcast.atomic import write_atomically
from hindcast.errors import HindcastError, VerificationError
from hindcast.times import format_utc

Status = Literal["passed", "failed", "skipped", "not started"]
Mode = Literal["local", "production"]
_TOKEN: Final = re.compile(r"ph[cx]_[^\s'\"]+")
_MARKS: Final = {"passed": "ok", "failed": "FAILED", "skipped": "skipped", "not started": "-"}


class Cleanable(Protocol):
    """What every stage offers: against what it works, and a cleanup that raises when something is left."""

    def describe(self) -> str: ...

    def clean_up(self) -> str: ...


Stage = TypeVar("Stage", bound=Cleanable)


class CheckFailed(VerificationError):
    """What a check looked at is not as it should be."""


class Skipped(Exception):
    """A check has nothing to look at here; the sentence says why."""


@dataclass(frozen=True)
class CheckResult:
    """`detail` says what was seen, or what is wrong; never a token or a value."""

    name: str
    status: Status
    detail: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Phase(Generic[Stage]):
    """Checks that belong together; each returns what it saw, or raises."""

    number: str
    title: str
    checks: Sequence[Callable[[Stage], str]]

    @property
    def name(self) -> str:
        return f"{self.number} {self.title}"


@dataclass
class PhaseResult:
    """A phase and its checks, in their order."""

    name: str
    checks: list[CheckResult] = field(default_factory=list)

    @property
    def status(self) -> Status:
        """Failed when any check failed; skipped when none of them had anything to look at."""
        found = {check.status for check in self.checks}
        order: tuple[Status, ...] = ("failed", "not started", "passed", "skipped")
        return next((status for status in order if status in found), "passed")

    @property
    def seconds(self) -> float:
        return sum(check.seconds for check in self.checks)


@dataclass
class AcceptanceReport:
    """A whole run. `place` says against what: addresses, never keys."""

    mode: Mode
    place: str
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    phases: list[PhaseResult] = field(default_factory=list)

    @property
    def is_green(self) -> bool:
        """True when something passed and nothing failed or was not started."""
        found = {phase.status for phase in self.phases}
        return "passed" in found and not found & {"failed", "not started"}

    @property
    def summary(self) -> str:
        """One line: how many of each."""
        checks = [check.status for phase in self.phases for check in phase.checks]
        order = ("passed", "failed", "skipped", "not started")
        counts = ", ".join(f"{checks.count(status)} {status}" for status in order if status in checks)
        return f"acceptance {self.mode}: {'passed' if self.is_green else 'failed'} ({counts})"

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON can hold it."""
        return {
            "mode": self.mode,
            "place": self.place,
            "status": "passed" if self.is_green else "failed",
            "started_at": format_utc(self.started_at),
            "seconds": round(sum(phase.seconds for phase in self.phases), 3),
            "phases": [
                {"name": phase.name, "status": phase.status, "seconds": round(phase.seconds, 3)}
                | {"checks": [asdict(check) for check in phase.checks]}
                for phase in self.phases
            ],
        }


def run_check(check: Callable[[Stage], str], stage: Stage) -> CheckResult:
    """Run one check; whatever it raises is its result. Only an interruption gets through."""
    began = time.monotonic()
    status: Status = "passed"
    try:
        detail = check(stage)
    except Skipped as reason:
        status, detail = "skipped", str(reason)
    except (HindcastError, httpx.HTTPError, psycopg.Error, OSError) as error:
        status, detail = "failed", _one_line(error)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is this check's result
        status, detail = "failed", f"unexpected {type(error).__name__}: {_one_line(error)}"
    return CheckResult(name_check(check), status, detail, round(time.monotonic() - began, 3))


def name_check(check: Callable[..., str]) -> str:
    """A check's name is its function's, in words."""
    return check.__name__.replace("_", " ")


def require(is_so: object, sentence: str) -> None:
    """Raise CheckFailed with the sentence unless it is so."""
    if not is_so:
        raise CheckFailed(sentence)


def render_table(report: AcceptanceReport) -> str:
    """The report for a terminal: a line a check under its phase, the summary last."""
    lines = [f"{report.mode}: {report.place}"]
    for phase in report.phases:
        lines.append(f"\nphase {phase.name}: {phase.status}, {phase.seconds:.1f} s")
        width = max((len(check.name) for check in phase.checks), default=0)
        lines += [
            f"  {_MARKS[check.status]:<8}{check.name:<{width}}  {check.seconds:>6.2f} s  {check.detail}".rstrip()
            if check.status != "not started"
            else f"  {_MARKS[check.status]:<8}{check.name}"
            for check in phase.checks
        ]
    return "\n".join([*lines, "", report.summary])


def render_markdown(report: AcceptanceReport) -> str:
    """The report as a Markdown table, for Prefect."""
    rows = [
        " | ".join(("", phase.name, check.name, check.status, f"{check.seconds:.2f}", detail, "")).strip()
        for phase in report.phases
        for check in phase.checks
        for detail in [check.detail.replace("|", "\\|")]
    ]
    head = ["| phase | check | status | seconds | detail |", "|---|---|---|---|---|"]
    return "\n".join([f"**{report.summary}**", "", *head, *rows])


def write_report(report: AcceptanceReport, folder: Path) -> Path:
    """Write report.txt and report.json into a folder of the run's own; returns the path of report.txt."""
    path = folder / f"acceptance-{report.mode}-{report.started_at:%Y%m%dT%H%M%S%f}" / "report.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path.with_suffix(".json"), (json.dumps(report.as_dict()) + "\n").encode())
    write_atomically(path, (render_table(report) + "\n").encode())
    return path


def _one_line(error: Exception) -> str:
    # A client that refuses a header quotes it.
    return _TOKEN.sub("<token>", " ".join(str(error).split()))[:400] or type(error).__name__
