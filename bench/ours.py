"""Measurements of raw `\\copy` and of whole commands of ours."""

import time
from typing import Any, Final

import psycopg

from bench.command import Ran, remove, run_hindcast, step_seconds
from bench.figures import Taken
from bench.lab import FIRST, FORMAT, Lab
from bench.server import drop_all_but, fresh, psql

# Of the generator's six months, one in the middle.
MONTH: Final = "2024-03-01..2024-04-01"
_ARCHIVING: Final = ("archiving", "reading the archive")
_SPACE: Final = "giving back space"  # after the proof: the file system's time, listed apart


def copy_text(lab: Lab) -> dict[str, Taken]:
    """Raw `\\copy` of the ready rows as text into the same table, empty, keys and partitions in place."""
    return {"copy-text": _copy(lab, f"'{lab.ready_text}'")}


def copy_binary(lab: Lab) -> dict[str, Taken]:
    """The same in the binary format."""
    return {"copy-binary": _copy(lab, f"'{lab.ready_binary}' (FORMAT binary)")}


def backfill_as_peers(lab: Lab) -> dict[str, Taken]:
    """A whole backfill of as many events as the peers load."""
    report, wall, memory = lab.backfill(lab.fresh("whole"), lab.peer_export)
    return {"backfill-small": _as_backfill(report, wall, memory)}


def dry_run(lab: Lab) -> dict[str, Taken]:
    """Read, decide and gate every record; no database."""
    report, wall, memory = lab.backfill(None, lab.export, "--dry-run")
    return {"dry-run": _as_backfill(report, wall, memory)}


def life(lab: Lab) -> dict[str, Taken]:
    """One database from empty to empty: backfill, the same file again where it was and elsewhere, two rollbacks."""
    url, home = lab.fresh("whole"), lab.home()
    try:
        report, wall, memory = lab.backfill(url, lab.export, home=home)
        taken = {"backfill": _as_backfill(report, wall, memory)}
        psql(lab.server, "whole", "VACUUM (ANALYZE)")  # as it is some minutes later, by itself
        for name, place in (("reimport", home), ("reimport-elsewhere", None)):
            again, wall, memory = lab.backfill(url, lab.export, "--new-run", home=place)
            if again["loaded"]:
                raise AssertionError(f"a re-import loaded {again['loaded']} events")
            taken[name] = _as_backfill(again, wall, memory)
        within = ("--window", MONTH, "--source", FORMAT)
        taken["rollback-month"] = _roll_back(url, home, *within)
        taken["rollback"] = _roll_back(url, home, "--run", report["run_id"])
    finally:
        remove(home)
    return taken


def _copy(lab: Lab, what: str) -> Taken:
    drop_all_but(lab.server, FIRST)
    fresh(lab.server, "raw", with_months_of=FIRST)
    began = time.perf_counter()
    psql(lab.server, "raw", f"\\copy analytics_events FROM {what}")
    return Taken(time.perf_counter() - began, lab.rows)


def _as_backfill(report: dict[str, Any], wall: float, memory: dict[str, float]) -> Taken:
    """`seconds` is from the first byte to the verification done; what comes before and after is apart."""
    if report["status"] != "succeeded":
        raise AssertionError(f"the run ended as {report['status']}")
    details = {
        "wall_seconds": round(wall, 3),
        "startup_seconds": report["startup_seconds"],
        "tail_seconds": round(wall - report["startup_seconds"] - report["seconds"], 3),
        "steps": report["timings"],
        "memory_mb": memory,
    }
    return Taken(report["seconds"], report["lines"], details)


def _roll_back(url: str, home: Any, *selection: str) -> Taken:
    rows = _count(url)
    ran = run_hindcast(["rollback", *selection, "--allow-overlap", "--apply"], url, home)
    steps = step_seconds(ran.lines)
    archive = sum(steps[name] for name in _ARCHIVING)
    seconds = _span(ran)
    details = {
        "wall_seconds": round(ran.seconds, 3),
        "archive_seconds": round(archive, 3),
        "beyond_archive_seconds": round(seconds - archive, 3),
        "space_seconds": steps.get(_SPACE, 0.0),
        "steps": steps,
        "memory_mb": ran.memory,
    }
    return Taken(seconds, rows - _count(url), details)


def _span(ran: Ran) -> float:
    """From the first step's begin to the end of the last one that proves something."""
    lines = [(at, line) for at, line in ran.lines if not line.startswith(_SPACE)]
    times = [at for at, line in lines if line.endswith((" ...", ": done"))]
    return max(times) - min(times)


def _count(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM analytics_events").fetchone()
        assert row
        return int(row[0])
