"""Names of flow runs: they say the slice."""

from datetime import UTC, datetime
from pathlib import PurePosixPath

from prefect.runtime import flow_run


def name_backfill() -> str:
    """`backfill history.jsonl 2024-01-01..2024-02-01`."""
    return _name("backfill")


def name_night() -> str:
    """`nightly inbox 2024-05-17`: the inbox, and the date on which it started, UTC."""
    place = flow_run.parameters.get("inbox") or "inbox"
    return f"nightly {PurePosixPath(str(place)).name} {datetime.now(UTC):%Y-%m-%d}"


def name_validation() -> str:
    """`validate history.jsonl`."""
    return _name("validate")


def name_rollup() -> str:
    """`rollup 2024-01-01..2024-02-01`, or `rollup all days`."""
    return f"rollup {flow_run.parameters.get('window') or 'all days'}"


def _name(verb: str) -> str:
    parameters = flow_run.parameters
    file = PurePosixPath(str(parameters.get("file", ""))).name
    return " ".join(str(piece) for piece in (verb, parameters.get("dataset"), file, parameters.get("window")) if piece)
