"""Load: one chunk is one transaction; events, conflicts and ledger row are committed together or not at all.

Where none of a few rows is there, they are simply copied; when one is there after all, the chunk is done again, asking
first. Loading a chunk that the ledger has is a no-op, so any number of attempts, kills and races end in the same table.
"""

import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID

import psycopg

from hindcast.archived_ids import ArchivedIds
from hindcast.block_ranges import BlocksAtHand
from hindcast.canonical import encode_value
from hindcast.chunk_ledger import Begun, begin_chunk, is_loaded, note_chunk
from hindcast.chunk_proof import ChunkProof, Compared, ProvedRun, prove_chunk
from hindcast.conflicts import Conflict
from hindcast.copying import copy_rows
from hindcast.database import connect
from hindcast.derived_keys import make_derived
from hindcast.errors import GateError, StoreUnavailable
from hindcast.known import KnownRow, Verdict, ask_table, compare_rows, holds_some
from hindcast.ledger import Counts
from hindcast.llm_objects import ObjectsSwept, PutObjects, objects_of, put_objects
from hindcast.load_task import LoadTask
from hindcast.manifest import Chunk
from hindcast.pace import Pace
from hindcast.people_links import assign_people
from hindcast.repeat_conflicts import read_conflicts
from hindcast.settings import load_settings
from hindcast.staged_rows import StagedRows, read_staged_rows
from hindcast.written import WrittenRows, sum_written


class Loaded(NamedTuple):
    """A chunk's counts; its proof where all its rows were found in the table, or their sum where all were written."""

    counts: Counts
    proof: ChunkProof | None = None
    written: WrittenRows | None = None


def load_chunks(task: LoadTask) -> list[Counts]:
    """The counts alone of `load_and_prove`."""
    return [loaded.counts for loaded in load_and_prove(task)]


def load_and_prove(task: LoadTask) -> list[Loaded]:
    """Load chunks one after the other on one connection, each when the pace allows it; runs in a worker.

    Returns the chunks begun before `not_after`: as many as were given unless that came first.
    Safe to call again after any error; raises GateError when a row contradicts the table and that is to fail.
    """
    folder, manifest = task.staged, task.read_manifest()
    conflicts: dict[int, list[Conflict]] = {}
    for conflict in read_conflicts(folder, {*task.chunks}):
        conflicts.setdefault(conflict.chunk, []).append(conflict)
    settings = load_settings()
    loader = _Loader(task, folder)
    with connect(task.url, settings) as connection:
        archived, at_hand = ArchivedIds(connection, settings), BlocksAtHand(connection)
        loaded = []
        for n in task.chunks:
            if not _await_turn(task, manifest.chunks[n]):
                break
            counts = loader.load(connection, manifest.chunks[n], conflicts.get(n, []), is_last=n == task.chunks[-1])
            compared, run = loader.compared, ProvedRun(folder, task.run_id, task.source)
            proof = prove_chunk(connection, run, archived, manifest.chunks[n], compared) if compared else None
            loaded.append(Loaded(counts, proof, loader.written))
        at_hand.finish(loader.days)
        return loaded


# Another writer may take a key between the question and the write; more often than this is no accident.
_TRIES: Final = 3


@dataclass(frozen=True)
class _Work:
    """A chunk about to be loaded; `conflicts` are those with other records of the export, and with objects."""

    chunk: Chunk
    staged: StagedRows
    conflicts: list[Conflict]
    put: PutObjects = field(default_factory=PutObjects)


class _Loader:
    def __init__(self, task: LoadTask, folder: Path) -> None:
        self._task, self._folder = task, folder
        self.compared: Compared | None = None  # of the chunk loaded last, when all its rows were there
        self.written: WrittenRows | None = None  # of the chunk loaded last, when all its rows are new
        self.days: set[date] = set()  # of all rows written
        self._is_waiting = True  # for the disk
        self._asks_first: bool | None = None  # a re-import asks at once: what it copied in vain is dead rows

    def load(
        self, connection: psycopg.Connection, chunk: Chunk, conflicts: list[Conflict], is_last: bool = True
    ) -> Counts:
        self._is_waiting = is_last
        work = _Work(chunk, read_staged_rows(self._folder, chunk, self._task.source), conflicts)
        may_be_held = self._task.held is not None and chunk.number in self._task.held.chunks
        if self._asks_first is None and len(work.staged) and not may_be_held:
            self._asks_first = holds_some(connection, work.staged)
        for tries_left in reversed(range(_TRIES)):
            try:
                return self._load_once(connection, self._put_objects(connection, work))
            except psycopg.errors.UniqueViolation:
                self._asks_first = True
                if not tries_left:
                    raise
            except ObjectsSwept:
                if not tries_left:
                    raise StoreUnavailable(f"{chunk.part}: objects are swept as fast as they are put") from None
        raise AssertionError("the last try returns or raises")

    def _put_objects(self, connection: psycopg.Connection, work: _Work) -> _Work:
        objects = objects_of(self._folder, work.chunk, work.staged)
        if not objects or is_loaded(connection, self._task.run_id, work.chunk.number):
            return work
        put = put_objects(connection, self._folder, work.chunk, work.staged, objects, self._task.run_id)
        if not put.conflicts:
            return replace(work, put=put)
        staged = work.staged.without_lines({conflict.line for conflict in put.conflicts})
        return replace(work, staged=staged, conflicts=[*work.conflicts, *put.conflicts], put=put)

    def _load_once(self, connection: psycopg.Connection, work: _Work) -> Counts:
        self.compared = self.written = None
        with ExitStack() as transaction:
            waits = bool(work.put.claims or self._is_waiting)
            begun = begin_chunk(connection, transaction, self._task.run_id, work.chunk.number, waits)
            if isinstance(begun, Counts):
                return begun
            people = assign_people(connection, self._folder, work.staged)
            has_people, work = people is not work.staged, replace(work, staged=people)
            verdict = self._ask(connection, work)
            contradicting = [work.staged.line(found.row) for found in verdict.conflicts]
            contradicting += [conflict.line for conflict in work.put.conflicts]
            if contradicting and self._task.on_conflict == "fail":
                raise GateError(
                    f"{work.chunk.part} line {contradicting[0]}: contradicts a row of the table "
                    f"({len(contradicting)} in this chunk), and --on-conflict is fail; "
                    "see them with --on-conflict keep"
                )
            counts = self._write(connection, work, verdict, begun)
            lines: set[int] = set()
            if work.put.claims:
                kept = set(self._written(verdict)) | set(verdict.duplicates)
                lines = {work.staged.line(row) for row in kept}
            work.put.commit(connection, sorted(lines & work.put.claims.keys()))
        work.put.withdraw_others(connection, lines)
        may_change = self._task.on_conflict == "replace"  # a later chunk may take out a row that this one found
        if len(work.staged) and not (work.put.conflicts or has_people or may_change):
            if verdict.matches.is_equal.all():
                self.compared = Compared(work.staged, verdict.matches)
            elif len(verdict.new) == len(work.staged) and not (work.put.claims or work.chunk.staged_as.derived):
                self.written = sum_written(work.chunk.number, work.staged, self._task.sum_seed)
        return counts

    def _ask(self, connection: psycopg.Connection, work: _Work) -> Verdict:
        matches = self._task.held and self._task.held.match(work.staged, work.chunk.number)
        if matches:
            return compare_rows(work.staged, matches, [])
        asks = self._asks_first is not False
        return ask_table(connection, work.staged, asks, self._task.asks_own_ids)

    def _write(self, connection: psycopg.Connection, work: _Work, verdict: Verdict, begun: Begun) -> Counts:
        staged = work.staged
        is_replacing = self._task.on_conflict == "replace"
        written = self._written(verdict)
        if len(written) < len(staged):
            staged = staged.take(written)
        days = staged.days()
        if is_replacing:
            days |= {conflict.known.created_at.date() for conflict in verdict.conflicts}
        noted = self._describe_conflicts(connection, work, verdict, begun.chunk_id)
        copy_rows(connection, staged, begun.chunk_id, begun.now)
        derived = make_derived(connection, self._folder, work.chunk, self._task.source)
        copy_rows(connection, derived, begun.chunk_id, begun.now)
        days |= derived.days()
        self.days |= days
        counts = replace(_count(work, verdict), derived=len(derived))
        facts = {
            "chunk_id": begun.chunk_id,
            "run_id": self._task.run_id,
            "digest": staged.digest,
            "days": sorted(days),
        }
        note_chunk(connection, facts | asdict(counts) | _describe_place(work.chunk), noted)
        return counts

    def _written(self, verdict: Verdict) -> list[int]:
        is_replacing = self._task.on_conflict == "replace"
        return sorted(verdict.new + [c.row for c in verdict.conflicts if is_replacing])

    def _describe_conflicts(
        self, connection: psycopg.Connection, work: _Work, verdict: Verdict, chunk_id: int
    ) -> list[tuple[Any, ...]]:
        """What is to be noted of every conflict; when replacing, the contradicted rows are taken out and kept whole."""
        run_id, is_replacing = self._task.run_id, self._task.on_conflict == "replace"
        noted: list[tuple[Any, ...]] = [
            (run_id, c.part, c.line, chunk_id, UUID(c.event_id), c.against, _as_json(c.fields), False, None)
            for c in work.conflicts
        ]
        for found in verdict.conflicts:
            previous = _take_out(connection, found.known) if is_replacing else None
            line, event_id = work.staged.line(found.row), UUID(bytes=work.staged.ids[found.row])
            place = (run_id, work.chunk.part, line, chunk_id, event_id)
            against = f"the row with id {found.known.event_id}"
            noted.append((*place, against, _as_json(found.fields), is_replacing, previous))
        return noted


def _await_turn(task: LoadTask, chunk: Chunk) -> bool:
    """Wait until a chunk may begin, in no transaction; False when it is too late for it."""
    if task.pace:
        staged = chunk.staged_as
        return Pace(Path(task.pace)).wait(staged.records, staged.last_byte - staged.first_byte, task.not_after)
    return task.not_after is None or time.time() < task.not_after


def _count(work: _Work, verdict: Verdict) -> Counts:
    chunk, staged_as = work.chunk, work.chunk.staged_as
    return Counts(
        lines=staged_as.records,
        loaded=len(verdict.new),
        duplicate=chunk.duplicate + len(verdict.duplicates),
        conflict=chunk.conflict + len(verdict.conflicts) + len(work.put.conflicts),
        rejected=staged_as.rejected,
        skipped=staged_as.skipped,
        out_of_window=staged_as.out_of_window,
        sanitised=work.staged.count_sanitised(verdict.new),
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
        "DELETE FROM analytics_events AS e WHERE event_id = %s AND created_at = %s RETURNING to_jsonb(e)::text",
        (known.event_id, known.created_at),
    ).fetchone()
    if not row:
        raise psycopg.errors.SerializationFailure(f"row {known.event_id} went away while it was being replaced")
    return str(row[0])


def _as_json(fields: dict[str, list[Any]]) -> str:
    return encode_value(fields).decode()
