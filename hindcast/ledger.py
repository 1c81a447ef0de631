"""The ledger: runs, parts, chunks and rejects in the target database. What it says was committed, was."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from hindcast.errors import ConfigurationError, ExportError
from hindcast.manifest import Manifest
from hindcast.plan import Plan
from hindcast.staging import read_rejects


@dataclass(frozen=True)
class Run:
    """A run as the ledger knows it. `committed` are the numbers of chunks that need no loading."""

    run_id: UUID
    dataset: str
    format: str
    plan_hash: str
    attempts: int
    committed: frozenset[int]


@dataclass(frozen=True)
class Counts:
    """What became of a chunk's (or a run's) records."""

    lines: int = 0
    loaded: int = 0
    derived: int = 0
    duplicate: int = 0
    conflict: int = 0
    rejected: int = 0
    skipped: int = 0
    out_of_window: int = 0
    sanitised: int = 0


def open_run(connection: psycopg.Connection, plan: Plan, operator: str, is_new_run: bool = False) -> Run:
    """Begin a run, or go on with the unfinished one of the same plan. One transaction.

    Raises ExportError when an unfinished run of the same export saw other bytes, unless a new run is asked for.
    """
    with connection.transaction():
        row = connection.execute(
            "SELECT run_id, attempts FROM import_runs WHERE plan_hash = %s AND status IN ('running', 'interrupted')",
            (plan.plan_hash,),
        ).fetchone()
        if row:
            connection.execute(
                "UPDATE import_runs SET status = 'running', attempts = attempts + 1, error = NULL WHERE run_id = %s",
                (row[0],),
            )
            return Run(row[0], plan.dataset, plan.format, plan.plan_hash, row[1] + 1, _committed(connection, row[0]))
        if not is_new_run:
            _refuse_changed_export(connection, plan)
        run_id = uuid4()
        connection.execute(
            "INSERT INTO import_runs"
            " (run_id, dataset, format, export, tenant, operator, window_start, window_end, status, plan_hash)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 'running', %s)",
            (
                run_id, plan.dataset, plan.format, plan.file, plan.tenant, operator, plan.start, plan.end,
                plan.plan_hash,
            ),
        )  # fmt: skip
        for part in plan.parts:
            connection.execute(
                "INSERT INTO import_parts (run_id, part, size_bytes, fingerprint) VALUES (%s, %s, %s, %s)",
                (run_id, part.name, part.size_bytes, part.fingerprint),
            )
    return Run(run_id, plan.dataset, plan.format, plan.plan_hash, 1, frozenset())


def record_manifest(connection: psycopg.Connection, run: Run, manifest: Manifest, folder: Path) -> None:
    """Write what extraction found: the seal, lines of each part, every reject. One transaction; safe to repeat."""
    with connection.transaction():
        connection.execute("UPDATE import_runs SET manifest_seal = %s WHERE run_id = %s", (manifest.seal, run.run_id))
        for part, lines in manifest.part_lines.items():
            connection.execute(
                "UPDATE import_parts SET lines = %s WHERE run_id = %s AND part = %s",
                (lines, run.run_id, part),
            )
        connection.execute("DELETE FROM import_rejects WHERE run_id = %s", (run.run_id,))
        with connection.cursor().copy(
            "COPY import_rejects (run_id, part, line, byte_offset, code, sentence, raw) FROM STDIN"
        ) as copy:
            for reject in iter_rejects(manifest, folder):
                copy.write_row((run.run_id, *reject))


def iter_rejects(manifest: Manifest, folder: Path) -> Iterator[tuple[str, int, int, str, str, str]]:
    """Rejects of an export in file order, with the lines of their parts."""
    for number, base in sorted(manifest.line_bases.items()):
        for r in read_rejects(folder, number):
            yield r.part, base + r.line, r.byte_offset, r.code, r.sentence, r.raw


def record_gates(connection: psycopg.Connection, run_id: UUID, gates: list[dict[str, Any]]) -> None:
    """Keep the verdicts of the gates with the run."""
    connection.execute("UPDATE import_runs SET gates = %s WHERE run_id = %s", (_jsonb(gates), run_id))


def finish_run(connection: psycopg.Connection, run_id: UUID, status: str, report: dict[str, Any]) -> None:
    """Close a run (or mark it interrupted) with its report and its counts."""
    counts = asdict(sum_counts(connection, run_id))
    connection.execute(
        "UPDATE import_runs SET status = %s, counts = %s, report = %s, error = %s,"
        " finished_at = CASE WHEN %s THEN now() END WHERE run_id = %s",
        (status, _jsonb(counts), _jsonb(report), report.get("error"), status != "interrupted", run_id),
    )


def sum_counts(connection: psycopg.Connection, run_id: UUID) -> Counts:
    """Add up the committed chunks of a run."""
    row = connection.execute(
        "SELECT coalesce(sum(lines), 0), coalesce(sum(loaded), 0), coalesce(sum(derived), 0),"
        " coalesce(sum(duplicate), 0), coalesce(sum(conflict), 0), coalesce(sum(rejected), 0),"
        " coalesce(sum(skipped), 0), coalesce(sum(out_of_window), 0), coalesce(sum(sanitised), 0)"
        " FROM import_chunks WHERE run_id = %s",
        (run_id,),
    ).fetchone()
    assert row
    return Counts(*(int(value) for value in row))


def count_replaced(connection: psycopg.Connection, run_id: UUID) -> int:
    """Rows of the table that a run put others in the place of."""
    row = connection.execute(
        "SELECT count(*) FROM import_conflicts WHERE run_id = %s AND is_replaced", (run_id,)
    ).fetchone()
    return int(row[0]) if row else 0


def touched_days(connection: psycopg.Connection, run_id: UUID) -> list[date]:
    """Days in which a run changed rows, in order."""
    rows = connection.execute(
        "SELECT DISTINCT unnest(days) AS day FROM import_chunks WHERE run_id = %s ORDER BY day", (run_id,)
    )
    return [day for (day,) in rows]


def list_conflicts(connection: psycopg.Connection, run_id: UUID, limit: int = 100) -> list[dict[str, Any]]:
    """The first conflicts of a run, in file order."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "SELECT part, line, event_id::text, against, fields, is_replaced FROM import_conflicts WHERE run_id = %s"
            " ORDER BY part, line LIMIT %s",
            (run_id, limit),
        ).fetchall()


def find_run(connection: psycopg.Connection, run_id: str) -> dict[str, Any]:
    """A run's row by its id, or by the beginning of it if that names one; raises ConfigurationError otherwise."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            "SELECT * FROM import_runs WHERE starts_with(run_id::text, %s) LIMIT 2", (run_id.lower(),)
        ).fetchall()
    if len(rows) != 1:
        found = "several runs begin so" if rows else "no such run"
        raise ConfigurationError(f"run {run_id!r}: {found}; `hindcast runs` lists them")
    return rows[0]


def load_run(connection: psycopg.Connection, run_id: str) -> tuple[Run, dict[str, Any]]:
    """A run and its row, by its id or the beginning of it."""
    row = find_run(connection, run_id)
    committed = _committed(connection, row["run_id"])
    run = Run(row["run_id"], row["dataset"], row["format"], row["plan_hash"], row["attempts"], committed)
    return run, row


def list_runs(connection: psycopg.Connection, limit: int) -> list[dict[str, Any]]:
    """The latest runs, newest first."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "SELECT run_id, dataset, format, export, operator, status, attempts, started_at, finished_at, counts, error"
            " FROM import_runs ORDER BY started_at DESC LIMIT %s",
            (limit,),
        ).fetchall()


def list_rejects(connection: psycopg.Connection, run_id: UUID) -> Iterator[dict[str, Any]]:
    """A run's rejects in file order; a server-side cursor, so any number fits."""
    with connection.transaction(), connection.cursor("rejects", row_factory=dict_row) as cursor:
        yield from cursor.execute(
            "SELECT part, line, byte_offset, code, sentence, raw FROM import_rejects WHERE run_id = %s"
            " ORDER BY part, line",
            (run_id,),
        )


def _committed(connection: psycopg.Connection, run_id: UUID) -> frozenset[int]:
    rows = connection.execute("SELECT chunk_number FROM import_chunks WHERE run_id = %s", (run_id,))
    return frozenset(number for (number,) in rows)


def _refuse_changed_export(connection: psycopg.Connection, plan: Plan) -> None:
    row = connection.execute(
        "SELECT r.run_id, p.part, p.fingerprint FROM import_runs AS r INNER JOIN import_parts AS p USING (run_id)"
        " INNER JOIN unnest(%s::text[], %s::text[]) AS now (part, fingerprint) ON now.part = p.part"
        " WHERE r.status IN ('running', 'interrupted') AND r.dataset = %s AND r.export = %s"
        " AND now.fingerprint <> p.fingerprint ORDER BY p.part LIMIT 1",
        ([p.name for p in plan.parts], [p.fingerprint for p in plan.parts], plan.dataset, plan.file),
    ).fetchone()
    if row:
        raise ExportError(
            f"{row[1]}: changed since the unfinished run {row[0]} read it ({row[2][:23]}…); "
            "put the file back to go on with that run, or start another with --new-run"
        )


def _jsonb(value: Any) -> Jsonb:
    return Jsonb(value, dumps=lambda v: json.dumps(v, default=str))
