"""Load: one chunk is one transaction. Its events, its conflicts and its ledger row are committed together or not at all.

First the rows are simply copied; when one is there already the chunk is done again, asking first. Loading a chunk that
the ledger has is a no-op, so any number of attempts, kills and races end in the same table.
"""

import hashlib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from hindcast.conflicts import Conflict
from hindcast.copying import copy_rows
from hindcast.database import connect
from hindcast.errors import GateError
from hindcast.known import KnownRow, compare_rows, fetch_known
from hindcast.ledger import Counts
from hindcast.manifest import Chunk, load_manifest, read_conflicts, read_repeats
from hindcast.settings import load_settings
from hindcast.staging import read_chunk
from hindcast.times import from_microseconds, to_microseconds

# Position of a column in a staged row, as `stage_rows` makes it.
EVENT_ID, CREATED_AT, EVENT_TYPE, SOURCE_EVENT_ID, LINE = 0, 1, 4, 13, 14


@dataclass(frozen=True)
class LoadTask:
    """What a worker needs to load some chunks of a run: references, no rows."""

    url: str
    folder: str
    run_id: UUID
    source: str
    on_conflict: str
    chunks: tuple[int, ...]


@dataclass
class StagedRows:
    """A chunk's events that repeat no other of the export. Rows are tuples in the order of the table's columns."""

    rows: list[tuple[Any, ...]]
    hashes: list[bytes]
    is_sanitised: list[bool]


def load_chunks(task: LoadTask) -> list[Counts]:
    """Load chunks one after the other on one connection; runs in a worker. Raises TransientError, safe to call again."""
    folder = Path(task.folder)
    manifest = load_manifest(folder)
    conflicts: dict[int, list[Conflict]] = {}
    for conflict in read_conflicts(folder):
        conflicts.setdefault(conflict.chunk, []).append(conflict)
    settings = load_settings()
    loader = _Loader(task, folder)
    with connect(task.url, settings) as connection:
        return [loader.load(connection, manifest.chunks[n], conflicts.get(n, [])) for n in task.chunks]


def stage_rows(folder: Path, chunk: Chunk, source: str) -> StagedRows:
    """Read a chunk's events back from staging, without those that repeat another."""
    if chunk.staged_as.row_group < 0:
        return StagedRows([], [], [])
    table = read_chunk(folder, chunk.segment, chunk.staged_as.row_group)
    columns = [table[name].to_pylist() for name in _READ_COLUMNS]
    columns[1] = table["created_at"].cast("int64").to_pylist()
    columns[11] = table["payload"].cast("binary").to_pylist()
    columns.insert(2, [source] * table.num_rows)
    columns[14] = [chunk.line_base + line for line in columns[14]]
    hashes, is_sanitised = table["content_hash"].to_pylist(), table["is_sanitised"].to_pylist()
    rows = list(zip(*columns, strict=True))
    repeats = read_repeats(folder, chunk.number) if chunk.duplicate or chunk.conflict else {}
    if repeats:
        kept = [n for n in range(len(rows)) if n not in repeats]
        rows, hashes, is_sanitised = ([values[n] for n in kept] for values in (rows, hashes, is_sanitised))
    return StagedRows(rows, hashes, is_sanitised)


def digest_rows(pairs: list[tuple[bytes, bytes]]) -> str:
    """Digest of a set of rows given as (event id, content hash): order does not matter, every bit of content does."""
    digest = hashlib.sha256()
    for event_id, content_hash in sorted(pairs):
        digest.update(event_id + content_hash)
    return digest.hexdigest()


_READ_COLUMNS: Final = (
    "event_id",
    "created_at",
    "tenant",
    "event_type",
    "user_id",
    "anonymous_id",
    "session_id",
    "course_id",
    "lesson_id",
    "module_id",
    "user_agent",
    "payload",
    "source_event_id",
    "line",
)


class _Loader:
    def __init__(self, task: LoadTask, folder: Path) -> None:
        self._task, self._folder = task, folder
        self._asks_first = False  # set once rows turn out to be there: a re-import then asks at once

    def load(self, connection: psycopg.Connection, chunk: Chunk, conflicts: list[Conflict]) -> Counts:
        staged = stage_rows(self._folder, chunk, self._task.source)
        if not self._asks_first and not any(row[SOURCE_EVENT_ID] for row in staged.rows):
            try:
                return self._load_once(connection, chunk, staged, conflicts, None)
            except psycopg.errors.UniqueViolation:
                self._asks_first = True
        known = fetch_known(connection, self._task.source, staged.rows)
        return self._load_once(connection, chunk, staged, conflicts, known)

    def _load_once(
        self,
        connection: psycopg.Connection,
        chunk: Chunk,
        staged: StagedRows,
        conflicts: list[Conflict],
        known: list[KnownRow] | None,
    ) -> Counts:
        with connection.transaction():
            row = connection.execute(
                "SELECT lines, loaded, derived, duplicate, conflict, rejected, skipped, out_of_window, sanitised"
                " FROM import_chunks WHERE run_id = %s AND chunk_number = %s",
                (self._task.run_id, chunk.number),
            ).fetchone()
            if row:
                return Counts(*row)
            verdict = compare_rows(staged.rows, staged.hashes, known or [])
            if verdict.conflicts and self._task.on_conflict == "fail":
                line = staged.rows[verdict.conflicts[0].row][LINE]
                raise GateError(
                    f"{chunk.part} line {line}: contradicts a row of the table ({len(verdict.conflicts)} in this chunk), "
                    "and --on-conflict is fail; see them with --on-conflict keep"
                )
            return self._write(connection, chunk, staged, conflicts, verdict)

    def _write(self, connection: psycopg.Connection, chunk: Chunk, staged: StagedRows, conflicts: list[Conflict], verdict: Any) -> Counts:
        found = connection.execute("SELECT nextval(pg_get_serial_sequence('import_chunks', 'chunk_id')), now()").fetchone()
        assert found
        chunk_id, now = int(found[0]), to_microseconds(found[1])
        is_replacing = self._task.on_conflict == "replace"
        replaced = {c.row for c in verdict.conflicts} if is_replacing else set()
        written = sorted(set(verdict.new) | replaced)
        days = {from_microseconds(staged.rows[n][CREATED_AT]).date() for n in written}
        for conflict in verdict.conflicts:
            previous = _take_out(connection, conflict.known) if is_replacing else None
            days |= {conflict.known.created_at.date()} if is_replacing else set()
            line = staged.rows[conflict.row][LINE]
            event_id = UUID(bytes=staged.rows[conflict.row][EVENT_ID])
            against = f"the row with id {conflict.known.event_id}"
            _keep_conflict(connection, (self._task.run_id, chunk.part, line, chunk_id, event_id, against, Jsonb(conflict.fields), is_replacing, previous))
        for c in conflicts:
            _keep_conflict(connection, (self._task.run_id, c.part, c.line, chunk_id, UUID(c.event_id), c.against, Jsonb(c.fields), False, None))
        copy_rows(connection, [(*staged.rows[n][:14], chunk_id, staged.rows[n][LINE], now) for n in written])
        counts = Counts(
            lines=chunk.staged_as.records,
            loaded=len(verdict.new),
            duplicate=chunk.duplicate + len(verdict.duplicates),
            conflict=chunk.conflict + len(verdict.conflicts),
            rejected=chunk.staged_as.rejected,
            skipped=chunk.staged_as.skipped,
            out_of_window=chunk.staged_as.out_of_window,
            sanitised=sum(staged.is_sanitised[n] for n in verdict.new),
        )
        digest = digest_rows([(staged.rows[n][EVENT_ID], staged.hashes[n]) for n in written])
        _write_ledger(connection, self._task.run_id, chunk, chunk_id, counts, digest, sorted(days))
        return counts


def _write_ledger(
    connection: psycopg.Connection,
    run_id: UUID,
    chunk: Chunk,
    chunk_id: int,
    counts: Counts,
    digest: str,
    days: list[date],
) -> None:
    base, where = chunk.line_base, chunk.staged_as
    connection.execute(
        "INSERT INTO import_chunks (chunk_id, run_id, chunk_number, part, first_line, last_line, first_byte, last_byte,"
        " lines, loaded, derived, duplicate, conflict, rejected, skipped, out_of_window, sanitised, digest, days)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            chunk_id, run_id, chunk.number, chunk.part, base + where.first_line, base + where.last_line, where.first_byte,
            where.last_byte, counts.lines, counts.loaded, counts.derived, counts.duplicate, counts.conflict,
            counts.rejected, counts.skipped, counts.out_of_window, counts.sanitised, digest, days,
        ),
    )  # fmt: skip


def _keep_conflict(connection: psycopg.Connection, values: tuple[Any, ...]) -> None:
    connection.execute(
        "INSERT INTO import_conflicts (run_id, part, line, chunk_id, event_id, against, fields, is_replaced, previous_row)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        values,
    )


def _take_out(connection: psycopg.Connection, known: KnownRow) -> Jsonb:
    row = connection.execute(
        "DELETE FROM analytics_events AS e WHERE event_id = %s AND created_at = %s RETURNING to_jsonb(e)",
        (known.event_id, known.created_at),
    ).fetchone()
    assert row
    return Jsonb(row[0])
