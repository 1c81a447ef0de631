"""Events: how a run ended, told to Prefect, so that automations can notify; see docs/deployments.md."""

from typing import Any

from prefect.events import emit_event
from prefect.exceptions import PrefectException
from prefect.logging import get_logger

from hindcast.errors import GateError, HindcastError, VerificationError, WindowClosed

_FACTS = ("run_id", "dataset", "format", "export", "operator", "status", "dry_run", "attempts", "report_path")
_COUNTS = ("lines", "staged", "loaded", "duplicate", "conflict", "rejected", "skipped", "out_of_window")


def tell_end(report: dict[str, Any], name: str, error: HindcastError | None) -> None:
    """Emit the event of a run's end, and before it the one of what ended it; never fails the run.

    `name` is the run's, or what stands for it in a dry run. No record's content is in the payload.
    """
    payload = {fact: report.get(fact) for fact in _FACTS}
    payload |= {"counts": {count: report.get(count) for count in _COUNTS}, "message": str(error) if error else ""}
    resource = {
        "prefect.resource.id": f"hindcast.run.{name}",
        "prefect.resource.name": str(report.get("dataset") or report.get("export")),
    }
    for event in event_names(error):
        try:
            emit_event(event, resource, payload=payload)
        except (PrefectException, OSError, RuntimeError) as fault:
            get_logger(__name__).warning("event %s not told: %s", event, fault)


def event_names(error: HindcastError | None) -> list[str]:
    """What is told of an end: the reason, where it is one of ours, and the end itself."""
    if error is None:
        return ["hindcast.run.succeeded"]
    if isinstance(error, WindowClosed):
        return ["hindcast.window.closed"]
    if isinstance(error, GateError):
        return ["hindcast.gate.failed", "hindcast.run.failed"]
    if isinstance(error, VerificationError):
        return ["hindcast.verification.failed", "hindcast.run.failed"]
    return ["hindcast.run.failed"]
