"""Load: one chunk is one transaction; events, conflicts and ledger row are committed together or not at all.

First the rows are simply copied; when one is there already the chunk is done again, asking first. Loading a
chunk that the ledger has is a no-op, so any number of attempts, kills and races end in the same table.
"""

import hashlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg

from hindcast.canonical import encode_value
from hindcast.conflicts import Conflict
from hindcast.copying import copy_rows
from hindcast.database import connect
from hindcast.errors import GateError
from hindcast.known import KnownRow, Verdict, compare_rows, fetch_known
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

    url: str = field(repr=False)  # may hold a password
    folder: str
    run_id: UUID
    source: str
    on_conflict: str
    chunks: tuple[int, ...]


@dataclass
class StagedRows:
    """A chunk's events that repeat no other of the export; a row is in the order of the table's columns."""

    rows: list[tuple[Any, ...]]
    hashes: list[bytes]
    is_sanitised: list[bool]


def load_chunks(task: LoadTask) -> list[Counts]:
    """Load chunks one after the other on one connection; runs in a worker.

    Safe to call again after any error; raises GateError when a row contradicts the table and that is to fail.
    """
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
    """Digest of a set of rows given as (event id, content hash), whatever their order."""
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
# Another writer may take a key between the question and the write; more often than this is no accident.
_TRIES: Final = 3
_INSERT_CHUNK: Final = (
    "INSERT INTO import_chunks"
    " (chunk_id, run_id, chunk_number, part, first_line, last_line, first_byte, last_byte, lines,"
    " loaded, derived, duplicate, conflict, rejected, skipped, out_of_window, sanitised, digest, days)"
    " VALUES (%(chunk_id)s, %(run_id)s, %(chunk_number)s, %(part)s, %(first_line)s, %(last_line)s,"
    " %(first_byte)s, %(last_byte)s, %(lines)s, %(loaded)s, %(derived)s, %(duplicate)s, %(conflict)s,"
    " %(rejected)s, %(skipped)s, %(out_of_window)s, %(sanitised)s, %(digest)s, %(days)s)"
)
_INSERT_CONFLICT: Final = (
    "INSERT INTO import_conflicts"
    " (run_id, part, line, chunk_id, event_id, against, fields, is_replaced, previous_row)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s::jsonb, %s, %s::jsonb)"
)


@dataclass(frozen=True)
class _Work:
    """A chunk about to be loaded; `conflicts` are those with other records of the export."""

    chunk: Chunk
    staged: StagedRows
    conflicts: list[Conflict]


class _Loader:
    def __init__(self, task: LoadTask, folder: Path) -> None:
        self._task, self._folder = task, folder
        self._asks_first = False  # set once rows turn out to be there: a re-import then asks at once

    def load(self, connection: psycopg.Connection, chunk: Chunk, conflicts: list[Conflict]) -> Counts:
        work = _Work(chunk, stage_rows(self._folder, chunk, self._task.source), conflicts)
        # The key does not hold an own id at another time, so records with one are always asked for.
        has_own_ids = any(row[SOURCE_EVENT_ID] is not None for row in work.staged.rows)
        for tries_left in reversed(range(_TRIES)):
            known: list[KnownRow] = []
            if self._asks_first or has_own_ids:
                known = fetch_known(connection, self._task.source, work.staged.rows)
            try:
                return self._load_once(connection, work, known)
            except psycopg.errors.UniqueViolation:
                self._asks_first = True
                if not tries_left:
                    raise
        raise AssertionError("the last try returns or raises")

    def _load_once(self, connection: psycopg.Connection, work: _Work, known: list[KnownRow]) -> Counts:
        with connection.transaction():
            row = connection.execute(
                "SELECT lines, loaded, derived, duplicate, conflict, rejected, skipped, out_of_window,"
                " sanitised FROM import_chunks WHERE run_id = %s AND chunk_number = %s",
                (self._task.run_id, work.chunk.number),
            ).fetchone()
            if row:
                return Counts(*row)
            verdict = compare_rows(work.staged.rows, work.staged.hashes, known)
            if verdict.conflicts and self._task.on_conflict == "fail":
                line = work.staged.rows[verdict.conflicts[0].row][LINE]
                raise GateError(
                    f"{work.chunk.part} line {line}: contradicts a row of the table "
                    f"({len(verdict.conflicts)} in this chunk), and --on-conflict is fail; "
                    "see them with --on-conflict keep"
                )
            return self._write(connection, work, verdict)

    def _write(self, connection: psycopg.Connection, work: _Work, verdict: Verdict) -> Counts:
        rows, hashes = work.staged.rows, work.staged.hashes
        chunk_id, now = _draw_chunk_id(connection)
        is_replacing = self._task.on_conflict == "replace"
        written = sorted(verdict.new + [c.row for c in verdict.conflicts if is_replacing])
        days = {from_microseconds(rows[n][CREATED_AT]).date() for n in written}
        if is_replacing:
            days |= {conflict.known.created_at.date() for conflict in verdict.conflicts}
        self._write_conflicts(connection, work, verdict, chunk_id)
        copy_rows(connection, [(*rows[n][:LINE], chunk_id, rows[n][LINE], now) for n in written])
        counts = _count(work, verdict)
        digest = digest_rows([(rows[n][EVENT_ID], hashes[n]) for n in written])
        facts = {"chunk_id": chunk_id, "run_id": self._task.run_id, "digest": digest, "days": sorted(days)}
        connection.execute(_INSERT_CHUNK, facts | asdict(counts) | _describe_place(work.chunk))
        return counts

    def _write_conflicts(
        self, connection: psycopg.Connection, work: _Work, verdict: Verdict, chunk_id: int
    ) -> None:
        """Note every conflict; when replacing, take the contradicted rows out and keep them whole."""
        run_id, is_replacing = self._task.run_id, self._task.on_conflict == "replace"
        noted: list[tuple[Any, ...]] = [
            (run_id, c.part, c.line, chunk_id, UUID(c.event_id), c.against, _as_json(c.fields), False, None)
            for c in work.conflicts
        ]
        for found in verdict.conflicts:
            row, known = work.staged.rows[found.row], found.known
            previous = _take_out(connection, known) if is_replacing else None
            place = (run_id, work.chunk.part, row[LINE], chunk_id, UUID(bytes=row[EVENT_ID]))
            against = f"the row with id {known.event_id}"
            noted.append((*place, against, _as_json(found.fields), is_replacing, previous))
        with connection.cursor() as cursor:
            cursor.executemany(_INSERT_CONFLICT, noted)


def _draw_chunk_id(connection: psycopg.Connection) -> tuple[int, int]:
    """A new chunk id, and the transaction's time in microseconds."""
    found = connection.execute(
        "SELECT nextval(pg_get_serial_sequence('import_chunks', 'chunk_id')), now()"
    ).fetchone()
    assert found
    return int(found[0]), to_microseconds(found[1])


def _count(work: _Work, verdict: Verdict) -> Counts:
    chunk, staged_as = work.chunk, work.chunk.staged_as
    return Counts(
        lines=staged_as.records,
        loaded=len(verdict.new),
        duplicate=chunk.duplicate + len(verdict.duplicates),
        conflict=chunk.conflict + len(verdict.conflicts),
        rejected=staged_as.rejected,
        skipped=staged_as.skipped,
        out_of_window=staged_as.out_of_window,
        sanitised=sum(work.staged.is_sanitised[n] for n in verdict.new),
    )


def _describe_place(chunk: Chunk) -> dict[str, Any]:
    return {
        "chunk_number": chunk.number,
        "part": chunk.part,
        "first_line": chunk.line_base + chunk.staged_as.first_line,
        "last_line": chunk.line_base + chunk.staged_as.last_line,
        "first_byte": chunk.staged_as.first_byte,
        "last_byte": chunk.staged_as.last_byte,
    }


def _take_out(connection: psycopg.Connection, known: KnownRow) -> str:
    # As text: by way of Python's floats, numbers of the payload would lose digits.
    row = connection.execute(
        "DELETE FROM analytics_events AS e WHERE event_id = %s AND created_at = %s"
        " RETURNING to_jsonb(e)::text",
        (known.event_id, known.created_at),
    ).fetchone()
    if not row:
        raise psycopg.errors.SerializationFailure(
            f"row {known.event_id} went away while it was being replaced"
        )
    return str(row[0])


def _as_json(fields: dict[str, list[Any]]) -> str:
    return encode_value(fields).decode()
