"""What rolling back and restoring found, judged: the checks, and the report for the ledger, the shell and the UI."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from hindcast.archive import Description
from hindcast.archive_ledger import Archive, finish_restore, finish_rollback, note_failure, sum_chunks
from hindcast.archived_rows import Presence
from hindcast.errors import VerificationError
from hindcast.preview import Preview
from hindcast.rollups import RollupProof
from hindcast.selection import read_selection


@dataclass
class Undo:
    """One rollback or restore at work: what it found so far. `presence` is what the table holds of the archive."""

    archive: Archive
    description: Description
    presence: Presence
    digest: str | None = None
    restored: int = 0
    proofs: list[RollupProof] = field(default_factory=list)
    seconds: float = 0.0
    governor: dict[str, Any] | None = None


def close_rollback(connection: psycopg.Connection, undo: Undo, preview: Preview) -> dict[str, Any]:
    """Judge a rollback and close it; raises VerificationError, and leaves it unfinished, when a check fails."""
    archive, description = undo.archive, undo.description
    counts = sum_chunks(connection, archive.archive_id)
    selection = read_selection(archive.selection)
    remaining = _count_selected(connection, archive)
    checks = [
        _check(
            "archive", True, f"{description.rows:,} rows were read back with the table's digest {description.digest}"
        ),
        _check(
            "ledger",
            counts["deleted"] + counts["changed"] + counts["absent"] == description.rows,
            f"of {description.rows:,} archived rows {counts['deleted']:,} were deleted, {counts['changed']:,} changed"
            f" since and left, {counts['absent']:,} gone already",
        ),
        _check("absence", not undo.presence.same, f"{undo.presence.same:,} archived rows are in the table"),
        *_check_rollups(undo.proofs),
    ]
    report = {
        "status": "rolled_back",
        "selection": archive.selection,
        "preview": [{"month": month, "event_type": kind, "rows": rows} for month, kind, rows in description.counts],
        "rows": description.rows,
        "digest": description.digest,
        "deleted": counts["deleted"],
        "archive": str(archive.archive_id),
        "archive_uri": archive.uri,
        "live_rows": description.live_rows,
        "live_rows_kept": preview.live_rows_kept,
        "replaced_rows_restored": counts["put_back"],
        "changed_rows_left": undo.presence.changed,
        "changed_rows": undo.presence.named,
        "remaining": remaining,
        "overlaps": [asdict(overlap) for overlap in preview.overlaps],
        "rollups": [asdict(proof) for proof in undo.proofs],
        "verification": _judge(checks),
        "resumed": archive.is_resumed,
        "seconds": round(undo.seconds, 3),
        "governor": undo.governor,
    }
    _refuse(connection, archive, report)
    finish_rollback(connection, archive, selection.is_whole_run and not remaining, report)
    return report


def close_restore(connection: psycopg.Connection, undo: Undo) -> dict[str, Any]:
    """Judge a restore and close it; raises VerificationError when the table does not hold what was archived."""
    archive, description, found = undo.archive, undo.description, undo.presence
    missing = description.rows - found.same - found.changed - found.put_back - found.superseded
    superseded = f" {found.superseded:,} derived events whose key has another by now were not;" * bool(found.superseded)
    first = "".join(f"; first: event {row['event_id']} of {row['created_at']}" for row in found.named[:1])
    checks = [
        _check("presence", not missing, f"{missing:,} of {description.rows:,} archived rows are missing"),
        _check(
            "content",
            found.same + found.superseded == description.rows
            and (bool(found.superseded) or undo.digest == description.digest),
            f"{found.same:,} of {description.rows:,} rows are as archived (digest {description.digest});{superseded}"
            f" {found.changed + found.put_back:,} are there with other content and were left{first}",
        ),
        *_check_rollups(undo.proofs),
    ]
    report = {
        "status": "restored",
        "archive": str(archive.archive_id),
        "archive_uri": archive.uri,
        "selection": archive.selection,
        "rows": description.rows,
        "restored": undo.restored,
        "already_there": found.same - undo.restored,
        "differing": found.changed + found.put_back,
        "differing_rows": found.named,
        "digest": undo.digest,
        "rollups": [asdict(proof) for proof in undo.proofs],
        "verification": _judge(checks),
        "seconds": round(undo.seconds, 3),
        "governor": undo.governor,
    }
    if not missing and all(proof.is_proved for proof in undo.proofs):
        finish_restore(connection, archive, report)  # what is there with other content is not for us to put right
    _refuse(connection, archive, report)
    return report


def has_nothing_to_do(preview: Preview) -> bool:
    """True when no row is selected, no rollback is unfinished, and no run is to be marked as rolled back."""
    is_run_open = preview.selection.is_whole_run and preview.run_status != "rolled_back"
    return not preview.rows and not preview.unfinished and not is_run_open


def nothing_selected(preview: Preview) -> dict[str, Any]:
    """The report of a rollback that has nothing to do."""
    return preview.as_json() | {"status": "nothing_selected", "verification": _judge([])}


def _check(name: str, is_passed: bool, detail: str) -> dict[str, str]:
    return {"name": name, "status": "passed" if is_passed else "failed", "detail": detail}


def _check_rollups(proofs: Sequence[RollupProof]) -> list[dict[str, str]]:
    return [
        _check(
            f"rollup {proof.rollup}",
            proof.is_proved,
            f"{proof.rows:,} rows in {proof.buckets:,} days, {proof.differing + proof.missing:,} not what a GROUP BY"
            " of the raw rows gives",
        )
        for proof in proofs
    ]


def _judge(checks: list[dict[str, str]]) -> dict[str, Any]:
    is_passed = all(check["status"] == "passed" for check in checks)
    return {"status": "passed" if is_passed else "failed", "checks": checks}


def _refuse(connection: psycopg.Connection, archive: Archive, report: dict[str, Any]) -> None:
    failed = [check for check in report["verification"]["checks"] if check["status"] == "failed"]
    if not failed:
        return
    sentence = f"archive {archive.archive_id}: {failed[0]['name']}: {failed[0]['detail']}"
    note_failure(connection, archive, sentence)
    raise VerificationError(sentence)


def _count_selected(connection: psycopg.Connection, archive: Archive) -> int:
    condition = read_selection(archive.selection).condition("e")
    row = connection.execute(
        sql.SQL("SELECT count(*) FROM analytics_events AS e WHERE {}").format(condition)
    ).fetchone()
    return int(row[0]) if row else 0
