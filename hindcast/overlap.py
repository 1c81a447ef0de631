"""Overlap: later runs that an undo would take rows of, or that rely on the rows it takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from hindcast.errors import ExportError
from hindcast.manifest import load_manifest
from hindcast.selected_rows import SelectedRows
from hindcast.selection import Selection
from hindcast.settings import Settings


@dataclass(frozen=True)
class Owner:
    """A run (None: the live platform, or a run the ledger does not know) and how many of its rows are selected."""

    run_id: UUID | None
    dataset: str
    format: str | None
    started_at: datetime | None
    rows: int


@dataclass(frozen=True)
class Overlap:
    """A run to think of before undoing another, and why."""

    run_id: UUID
    dataset: str
    started_at: datetime
    reason: str


def find_owners(connection: psycopg.Connection, selected: SelectedRows) -> list[Owner]:
    """Whose rows are selected, the earliest run first; the live platform last."""
    numbers = [number for number in selected.chunks if number is not None]
    owners: list[Owner] = []
    known: set[int] = set()
    rows = connection.execute(
        "SELECT run_id, r.dataset, r.format, r.started_at, array_agg(c.chunk_id)"
        " FROM import_chunks AS c INNER JOIN import_runs AS r USING (run_id) WHERE c.chunk_id = ANY(%s)"
        " GROUP BY run_id, r.dataset, r.format, r.started_at ORDER BY r.started_at",
        (numbers,),
    )
    for run_id, dataset, kind, started_at, chunk_ids in rows:
        known.update(chunk_ids)
        owners.append(Owner(run_id, dataset, kind, started_at, sum(selected.chunks[n] for n in chunk_ids)))
    unknown = sum(selected.chunks[number] for number in numbers if number not in known)
    if unknown:
        owners.append(Owner(None, "no run of this ledger", None, None, unknown))
    if selected.live_rows:
        owners.append(Owner(None, "the live platform", None, None, selected.live_rows))
    return owners


def find_overlaps(
    connection: psycopg.Connection,
    selection: Selection,
    selected: SelectedRows,
    owners: Sequence[Owner],
    settings: Settings,
) -> list[Overlap]:
    """Later runs that the undo would concern, the earliest first; none when no row is selected."""
    runs = [owner for owner in owners if owner.run_id and owner.started_at]
    if not runs or not runs[0].started_at:
        return []
    overlaps = [
        Overlap(run.run_id, run.dataset, run.started_at, f"{run.rows:,} of the selected rows are its own")
        for run in runs[1:]
        if run.run_id and run.started_at
    ]
    own = [run.run_id for run in runs]
    if selection.run_id:
        overlaps += _same_days(connection, runs[0].started_at, own, selected)
    overlaps += _replacing(connection, own, selected)
    overlaps += _repeating(connection, runs, selected, settings)
    return sorted(overlaps, key=lambda overlap: overlap.started_at)


def _same_days(
    connection: psycopg.Connection, after: datetime, own: Sequence[UUID | None], selected: SelectedRows
) -> list[Overlap]:
    rows = connection.execute(
        "SELECT run_id, r.dataset, r.started_at, sum(c.loaded)"
        " FROM import_chunks AS c INNER JOIN import_runs AS r USING (run_id)"
        " WHERE r.started_at > %s AND run_id <> ALL(%s) AND r.status <> 'rolled_back' AND c.loaded > 0"
        " AND c.days && %s::date[] GROUP BY run_id, r.dataset, r.started_at",
        (after, list(own), sorted(selected.days)),
    )
    return [
        Overlap(run_id, dataset, started_at, f"loaded {loaded:,} rows later, in chunks on the same days")
        for run_id, dataset, started_at, loaded in rows
    ]


def _replacing(connection: psycopg.Connection, own: Sequence[UUID | None], selected: SelectedRows) -> list[Overlap]:
    rows = connection.execute(
        "SELECT r.run_id, r.dataset, r.started_at, count(*)"
        " FROM import_conflicts AS k INNER JOIN import_runs AS r USING (run_id)"
        " INNER JOIN import_chunks AS c ON c.chunk_id = (k.previous_row ->> 'import_chunk_id')::bigint"
        " WHERE k.is_replaced AND c.run_id = ANY(%s) AND r.status <> 'rolled_back' AND r.run_id <> ALL(%s)"
        " AND (k.previous_row ->> 'created_at')::timestamptz >= %s"
        " AND (k.previous_row ->> 'created_at')::timestamptz < %s GROUP BY r.run_id, r.dataset, r.started_at",
        (list(own), list(own), *_span(selected)),
    )
    return [
        Overlap(run_id, dataset, started_at, f"replaced {replaced:,} rows; what it replaced them with stays")
        for run_id, dataset, started_at, replaced in rows
    ]


def _repeating(
    connection: psycopg.Connection, runs: Sequence[Owner], selected: SelectedRows, settings: Settings
) -> list[Overlap]:
    """Runs that found records in the table already, perhaps these; only the same format makes the same ids."""
    first, after = _span(selected)
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(
            "SELECT run_id, r.dataset, r.plan_hash, r.status, r.started_at, sum(c.duplicate)::bigint AS duplicate"
            " FROM import_runs AS r INNER JOIN import_chunks AS c USING (run_id)"
            " WHERE r.started_at > %s AND run_id <> ALL(%s) AND r.status <> 'rolled_back' AND r.format = ANY(%s)"
            " AND coalesce((r.report ->> 'first_at')::timestamptz < %s, true)"
            " AND coalesce((r.report ->> 'last_at')::timestamptz >= %s, true)"
            " GROUP BY run_id HAVING sum(c.duplicate) > 0",
            (
                runs[0].started_at, [run.run_id for run in runs], list({run.format for run in runs}), after, first,
            ),
        ).fetchall()  # fmt: skip
    overlaps = []
    for run in found:
        in_table = run["duplicate"] - _repeats_within(run, settings)
        if in_table > 0:
            reason = f"counted {in_table:,} records as there already: they may be the selected rows"
            overlaps.append(Overlap(run["run_id"], run["dataset"], run["started_at"], reason))
    return overlaps


def _repeats_within(run: dict[str, Any], settings: Settings) -> int:
    """Duplicates that were repeats within the export itself; 0 when its staging is gone and nobody can tell."""
    folder = settings.staging_dir / f"{run['dataset']}-{run['plan_hash'][:16]}"
    try:
        return load_manifest(folder).totals.duplicate if run["status"] == "succeeded" else 0
    except ExportError:
        return 0


def _span(selected: SelectedRows) -> tuple[datetime, datetime]:
    first, last = (
        datetime.fromisoformat(f"{day.isoformat()}T00:00:00+00:00") for day in (min(selected.days), max(selected.days))
    )
    return first, last + timedelta(days=1)
