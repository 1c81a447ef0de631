"""Sums of row hashes: the table's, made by the server in one pass, beside those of the staged rows.

A chunk of which as many rows as staged carry its id, with the same sum, holds every staged row as it was staged: a
field that differs changes its row's hash, and the sum of 64 bits with it. So such a chunk is compared without its rows
being looked up and sent. The seed is drawn anew each time, so that no rows can be made to have a sum. Whatever is not
found equal in this way says nothing, and is compared row by row.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final, NamedTuple
from uuid import UUID

import numpy as np
import psycopg
from psycopg import sql

from hindcast.kernel import _kernel, has_kernel
from hindcast.kernel_rows import TEXTS, to_buffers
from hindcast.known import Matches
from hindcast.manifest import Chunk
from hindcast.rollups import list_spans
from hindcast.staged_rows import StagedRows
from hindcast.times import midnight

# The time as bytes: PostgreSQL's own hash of a time lets its upper half cancel out the lower. The hash of all before
# the payload is the seed of the payload's: a record's hash by itself is a sum over its columns, so that two rows might
# change values with each other and keep theirs together.
_SUM: Final = sql.SQL(
    "SELECT import_chunk_id, count(*), sum(hashtextextended(payload::text, hash_record_extended(ROW(event_id,"
    " timestamptz_send(created_at), source, {}), %(seed)s)))"
    " FROM analytics_events WHERE import_chunk_id {} BETWEEN %(first)s AND %(last)s"
    " AND created_at >= %(start)s AND created_at < %(end)s GROUP BY 1"
)
_TEXTS: Final = sql.SQL(", ").join(map(sql.Identifier, TEXTS[:-1]))
# Rows; a run of more is most of what is in its days. The chunk ids of its blocks are not summarised yet, so that by
# them each span of a month would read the whole run; the times are.
_MOST_OF_ITS_DAYS: Final = 1_000_000
_SETTINGS: Final = (
    # Of months just loaded there are no statistics; the block ranges of the chunks are read, and no others.
    "SET LOCAL enable_seqscan = off",
    "SET LOCAL enable_indexscan = off",
    # Without statistics the few rows expected would be sorted by their chunks, and that is all of them, on disk.
    "SET LOCAL enable_sort = off",
    "SET LOCAL max_parallel_workers_per_gather = 0",  # spans run side by side
    "SET LOCAL jit = off",
)


def draw_seed() -> int:
    """A seed that nobody can have known."""
    return secrets.randbits(63)


class HeldSum(NamedTuple):
    """What the table has of a chunk: rows with its id, and the sum of their hashes modulo 2^64."""

    chunk_id: int
    rows: int
    total: int


@dataclass(frozen=True)
class HeldSums:
    """What the table had of some chunks, by their numbers in the export, when it was asked."""

    seed: int = 0
    chunks: Mapping[int, HeldSum] = field(default_factory=dict)

    def among(self, numbers: Iterable[int]) -> "HeldSums":
        """Of these chunks only."""
        return HeldSums(self.seed, {number: self.chunks[number] for number in numbers if number in self.chunks})

    def match(self, staged: StagedRows, number: int) -> Matches | None:
        """The staged rows of a chunk as rows all found and equal; None when this does not show it."""
        held = self.chunks.get(number)
        if held is None or held.rows != len(staged) or not has_kernel():
            return None
        if _kernel.sum(to_buffers(staged), self.seed) != held.total:
            return None
        return Matches(np.ones(len(staged), np.bool_), np.full(len(staged), held.chunk_id))


@dataclass(frozen=True)
class SumPlan:
    """What is to be summed: chunks (their ids in the ledger by their numbers), a few days at a time, in order."""

    chunks: Mapping[int, int] = field(default_factory=dict)
    spans: Sequence[tuple[date, date]] = ()
    is_by_time: bool = False
    seed: int = field(default_factory=draw_seed, repr=False)

    def put_together(self, sums: Iterable[Mapping[int, tuple[int, int]]]) -> HeldSums:
        """What the spans have, by chunk."""
        found: dict[int, tuple[int, int]] = {}
        for span in sums:
            for chunk_id, (count, total) in span.items():
                before = found.get(chunk_id, (0, 0))
                found[chunk_id] = (before[0] + count, (before[1] + total) % 2**64)
        held = {number: HeldSum(i, *found[i]) for number, i in self.chunks.items() if i in found}
        return HeldSums(self.seed, held)


def plan_own(connection: psycopg.Connection, run_id: UUID, numbers: Sequence[int]) -> SumPlan:
    """Plan the sums of what a run wrote for these chunks; an empty plan where nothing could be compared with them."""
    rows = connection.execute(
        "SELECT chunk_number, chunk_id, days, loaded FROM import_chunks"
        " WHERE run_id = %s AND chunk_number = ANY(%s) AND loaded > 0 AND derived = 0",
        (run_id, list(numbers)),
    )
    return _plan(connection, {number: (chunk_id, days, loaded) for number, chunk_id, days, loaded in rows})


def plan_earlier(connection: psycopg.Connection, run_id: UUID, chunks: Sequence[Chunk]) -> SumPlan:
    """Plan the sums of what other runs of the dataset wrote for the same lines; an empty plan where there is nothing.

    That they were lines of the same bytes is not asked: what the table holds will show.
    """
    rows = connection.execute(
        "SELECT part, first_line, last_line, loaded, chunk_id, days FROM import_chunks JOIN import_runs USING (run_id)"
        " WHERE dataset = (SELECT dataset FROM import_runs WHERE run_id = %(run_id)s) AND run_id <> %(run_id)s"
        " AND status <> 'rolled_back' AND loaded > 0 AND derived = 0 ORDER BY chunk_id",
        {"run_id": run_id},
    )
    earlier = {
        (part, first, last, loaded): (chunk_id, days, loaded) for part, first, last, loaded, chunk_id, days in rows
    }
    found = {chunk.number: earlier.get(_place(chunk)) for chunk in chunks}
    return _plan(connection, {number: row for number, row in found.items() if row})


def sum_span(connection: psycopg.Connection, plan: SumPlan, span: tuple[date, date]) -> dict[int, tuple[int, int]]:
    """Count and sum the rows of a span by their chunk ids; nothing where that cannot be had."""
    ids = plan.chunks.values()
    bounds = {"first": min(ids), "last": max(ids), "start": midnight(span[0]), "end": midnight(span[1])}
    with connection.transaction():
        for setting in _SETTINGS:
            connection.execute(setting)
        try:
            query = _SUM.format(_TEXTS, sql.SQL("+ 0" if plan.is_by_time else ""))
            rows = connection.execute(query, bounds | {"seed": plan.seed}).fetchall()
        except (psycopg.errors.UndefinedFunction, psycopg.errors.QueryCanceled):  # no hash, or no time: row by row then
            return {}
    return {chunk_id: (count, int(total or 0) % 2**64) for chunk_id, count, total in rows}


def sum_own(connection: psycopg.Connection, run_id: UUID, numbers: Sequence[int]) -> HeldSums:
    """The sums of what a run wrote for these chunks."""
    plan = plan_own(connection, run_id, numbers)
    return plan.put_together(sum_span(connection, plan, span) for span in plan.spans)


def _plan(connection: psycopg.Connection, found: Mapping[int, tuple[int, list[date], int]]) -> SumPlan:
    """Plan the sums of chunks: their ids in the ledger, the days of their rows, and how many those are."""
    if not found or not has_kernel():
        return SumPlan()
    days = {day for _, days, _ in found.values() for day in days}
    ids = {number: chunk_id for number, (chunk_id, *_) in found.items()}
    is_by_time = sum(rows for *_, rows in found.values()) > _MOST_OF_ITS_DAYS
    return SumPlan(ids, tuple(list_spans(connection, [*days])), is_by_time)


def _place(chunk: Chunk) -> tuple[str, int, int, int]:
    staged_as = chunk.staged_as
    first, last = (chunk.line_base + line for line in (staged_as.first_line, staged_as.last_line))
    return chunk.part, first, last, staged_as.staged - chunk.duplicate - chunk.conflict
