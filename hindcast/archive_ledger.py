"""The ledger of undoing: which archives there are, and how far taking their rows out or putting them back has come."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from hindcast.archive import Description
from hindcast.archive_store import archive_prefix, join_location
from hindcast.errors import ConfigurationError
from hindcast.selection import Selection, encode_selection
from hindcast.settings import Settings

UNFINISHED: Final = ("archiving", "archived", "deleting")


@dataclass(frozen=True)
class Archive:
    """An archive as the ledger knows it; `uri` is its folder. References, no rows."""

    archive_id: UUID
    uri: str
    status: str
    selection: dict[str, Any]
    run_status: str | None = None
    operator: str = ""
    is_resumed: bool = False


def open_archive(connection: psycopg.Connection, selection: Selection, operator: str, settings: Settings) -> Archive:
    """Begin an archive, or go on with the unfinished one of the same selection. One transaction."""
    value = encode_selection(selection)
    with connection.transaction():
        row = connection.execute(
            "SELECT archive_id FROM import_archives WHERE selection = %s::jsonb AND status = ANY(%s)",
            (value, list(UNFINISHED)),
        ).fetchone()
        if row:
            connection.execute("UPDATE import_archives SET error = NULL WHERE archive_id = %s", row)
            return replace(find_archive(connection, str(row[0])), is_resumed=True)
        archive_id = uuid4()
        connection.execute(
            "INSERT INTO import_archives (archive_id, selection, run_id, run_status, operator, status, uri)"
            " VALUES (%s, %s::jsonb, %s, %s, %s, 'archiving', %s)",
            (
                archive_id, value, selection.run_id, _status_before(connection, selection), operator,
                join_location(archive_prefix(settings), str(archive_id)),
            ),
        )  # fmt: skip
    return find_archive(connection, str(archive_id))


def find_archive(connection: psycopg.Connection, archive_id: str) -> Archive:
    """An archive by its id or the beginning of it; raises ConfigurationError otherwise."""
    rows = connection.execute(
        "SELECT archive_id, uri, status, selection, run_status, operator FROM import_archives"
        " WHERE starts_with(archive_id::text, %s) LIMIT 2",
        (archive_id.lower(),),
    ).fetchall()
    if len(rows) != 1 or not archive_id:
        found = "several archives begin so" if rows else "no such archive"
        raise ConfigurationError(f"archive {archive_id!r}: {found}; `hindcast archives` lists them")
    return Archive(*rows[0])


def find_unfinished(connection: psycopg.Connection, selection: Selection) -> Archive | None:
    """The archive of this selection that a rollback would go on with."""
    row = connection.execute(
        "SELECT archive_id FROM import_archives WHERE selection = %s::jsonb AND status = ANY(%s)",
        (encode_selection(selection), list(UNFINISHED)),
    ).fetchone()
    return find_archive(connection, str(row[0])) if row else None


def record_archived(connection: psycopg.Connection, archive: Archive, description: Description) -> None:
    """The archive is whole and was read again: from now on its rows may be deleted. One transaction; repeatable."""
    with connection.transaction():
        _write_facts(connection, archive.archive_id, description)
        set_status(connection, archive, "archived")


def adopt_archive(connection: psycopg.Connection, description: Description, uri: str) -> Archive:
    """Take an archive that the ledger does not have (any more) into it, as deleted."""
    archive_id = UUID(description.archive_id)
    with connection.transaction():
        inserted = connection.execute(
            "INSERT INTO import_archives"
            " (archive_id, selection, run_id, run_status, operator, status, uri, rows, digest, created_at)"
            " VALUES (%s, %s, (SELECT run_id FROM import_runs WHERE run_id = %s::uuid), %s, %s, 'deleted', %s, %s, %s,"
            " %s::timestamptz) ON CONFLICT DO NOTHING",
            (
                archive_id, Jsonb(description.selection), description.selection.get("run"), description.run_status,
                description.operator, uri, description.rows, description.digest, description.created_at,
            ),
        ).rowcount  # fmt: skip
        if inserted:
            _write_facts(connection, archive_id, description)
    return find_archive(connection, str(archive_id))


def set_status(connection: psycopg.Connection, archive: Archive, status: str) -> None:
    """Move an archive on."""
    connection.execute(
        "UPDATE import_archives SET status = %s, error = NULL,"
        " finished_at = CASE WHEN %s = 'deleted' THEN now() ELSE finished_at END,"
        " restored_at = CASE WHEN %s = 'restored' THEN now() ELSE restored_at END WHERE archive_id = %s",
        (status, status, status, archive.archive_id),
    )


def note_failure(connection: psycopg.Connection, archive: Archive, error: str) -> None:
    """Say why an archive did not get further; one that was not whole yet is given up, for nothing was deleted."""
    connection.execute(
        "UPDATE import_archives SET error = %s,"
        " status = CASE WHEN status = 'archiving' THEN 'failed' ELSE status END WHERE archive_id = %s",
        (error, archive.archive_id),
    )


def finish_rollback(
    connection: psycopg.Connection, archive: Archive, is_run_gone: bool, report: dict[str, Any]
) -> None:
    """Everything is out and proved: close the archive, and the run if nothing of it is left. One transaction."""
    with connection.transaction():
        set_status(connection, archive, "deleted")
        _keep_report(connection, archive, report)
        if is_run_gone:
            connection.execute(
                "UPDATE import_runs SET status = 'rolled_back', finished_at = coalesce(finished_at, now())"
                " WHERE run_id = (SELECT run_id FROM import_archives WHERE archive_id = %s)",
                (archive.archive_id,),
            )


def finish_restore(connection: psycopg.Connection, archive: Archive, report: dict[str, Any]) -> None:
    """Everything is back: close the archive, and make the run what it was before. One transaction."""
    with connection.transaction():
        set_status(connection, archive, "restored")
        _keep_report(connection, archive, report)
        # An unfinished run whose export was begun anew since cannot be unfinished again: there is one of a plan.
        connection.execute(
            "UPDATE import_runs AS r SET status = CASE"
            " WHEN a.run_status NOT IN ('running', 'interrupted') THEN a.run_status"
            " WHEN EXISTS (SELECT FROM import_runs AS o WHERE o.plan_hash = r.plan_hash"
            " AND o.status IN ('running', 'interrupted')) THEN 'failed'"
            " ELSE 'interrupted' END,"
            " finished_at = CASE WHEN a.run_status IN ('running', 'interrupted') THEN NULL ELSE r.finished_at END"
            " FROM import_archives AS a WHERE a.archive_id = %s AND a.run_status IS NOT NULL"
            " AND r.run_id = a.run_id AND r.status = 'rolled_back'",
            (archive.archive_id,),
        )


def list_archives(connection: psycopg.Connection, limit: int) -> list[dict[str, Any]]:
    """The latest archives, newest first."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "SELECT archive_id, operation, status, selection, run_id, operator, rows, live_rows, digest, uri,"
            " created_at, finished_at, restored_at, error,"
            " (SELECT coalesce(sum(size_bytes), 0)::bigint FROM import_archive_files AS f"
            " WHERE f.archive_id = a.archive_id) AS size_bytes"
            " FROM import_archives AS a ORDER BY created_at DESC LIMIT %s",
            (limit,),
        ).fetchall()


def sum_chunks(connection: psycopg.Connection, archive_id: UUID) -> dict[str, int]:
    """What became of the archived rows so far: `deleted`, `changed` (left), `absent`, `put_back`."""
    row = connection.execute(
        "SELECT coalesce(sum(deleted), 0), coalesce(sum(changed), 0), coalesce(sum(absent), 0),"
        " coalesce(sum(put_back), 0) FROM import_prune_chunks WHERE archive_id = %s",
        (archive_id,),
    ).fetchone()
    assert row
    return dict(zip(("deleted", "changed", "absent", "put_back"), map(int, row), strict=True))


def done_chunks(connection: psycopg.Connection, archive_id: UUID) -> set[int]:
    """Numbers of the chunks that need no deleting any more."""
    rows: Sequence[Any] = connection.execute(
        "SELECT chunk_number FROM import_prune_chunks WHERE archive_id = %s", (archive_id,)
    ).fetchall()
    return {number for (number,) in rows}


def _status_before(connection: psycopg.Connection, selection: Selection) -> str | None:
    """What a whole run was before anything of it was rolled back."""
    if not selection.is_whole_run:
        return None
    row = connection.execute(
        "SELECT r.status, (SELECT run_status FROM import_archives AS a WHERE a.run_id = r.run_id"
        " AND run_status IS NOT NULL AND status <> 'failed' ORDER BY created_at DESC LIMIT 1)"
        " FROM import_runs AS r WHERE run_id = %s",
        (selection.run_id,),
    ).fetchone()
    if not row:
        return None
    return str(row[1] or "succeeded") if row[0] == "rolled_back" else str(row[0])


def _write_facts(connection: psycopg.Connection, archive_id: UUID, description: Description) -> None:
    months = [{"month": m, "event_type": kind, "rows": rows} for m, kind, rows in description.counts]
    connection.execute(
        "UPDATE import_archives SET rows = %s, digest = %s, live_rows = %s, put_back = %s, days = %s::date[],"
        " months = %s WHERE archive_id = %s",
        (
            description.rows, description.digest, description.live_rows, description.put_back, description.days,
            Jsonb(months), archive_id,
        ),
    )  # fmt: skip
    connection.execute("DELETE FROM import_archive_files WHERE archive_id = %s", (archive_id,))
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO import_archive_files (archive_id, file, month, rows, digest, sha256, size_bytes)"
            " VALUES (%s, %s, %s::date, %s, %s, %s, %s)",
            [
                (archive_id, f.name, f"{f.month}-01", f.rows, f.digest, f.sha256, f.size_bytes)
                for f in description.files
            ],
        )


def _keep_report(connection: psycopg.Connection, archive: Archive, report: dict[str, Any]) -> None:
    connection.execute(
        "UPDATE import_archives SET report = %s WHERE archive_id = %s",
        (Jsonb(report, dumps=lambda value: json.dumps(value, default=str)), archive.archive_id),
    )
