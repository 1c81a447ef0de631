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


def name_rollback() -> str:
    """`rollback preview run 1a2b3c4d`, `rollback apply 2024-01-01..2024-02-01 lesson_started`."""
    given = flow_run.parameters
    run = f"run {given['run'][:8]}" if given.get("run") else None
    names = ("window", "source", "event_type", "tenant")
    pieces = ("rollback", given.get("mode", "preview"), run, *(given.get(name) for name in names))
    return " ".join(str(piece) for piece in pieces if piece)


def name_restore() -> str:
    """`restore 1a2b3c4d`."""
    return f"restore {str(flow_run.parameters.get('archive', '')).rstrip('/').rpartition('/')[2][:8]}"


def name_acceptance() -> str:
    """`acceptance local`."""
    return f"acceptance {flow_run.parameters.get('mode', 'local')}"


def _name(verb: str) -> str:
    parameters = flow_run.parameters
    file = PurePosixPath(str(parameters.get("file", ""))).name
    return " ".join(str(piece) for piece in (verb, parameters.get("dataset"), file, parameters.get("window")) if piece)
