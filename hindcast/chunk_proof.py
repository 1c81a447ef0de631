"""The proof of one chunk: each of its rows beside the table's, and all of them beside the ledger's digest."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import numpy as np
import psycopg

from hindcast.archived_ids import ArchivedIds
from hindcast.conflicts import diff_rows
from hindcast.derived_keys import chosen_rows
from hindcast.derived_proof import DerivedProof, LoadedChunk, prove_derived
from hindcast.known import Matches, fetch_by_id, match_rows
from hindcast.llm_proof import ObjectProof, prove_objects
from hindcast.manifest import Chunk
from hindcast.people_links import look_up_people
from hindcast.row_sums import HeldSums
from hindcast.staged_rows import StagedRows, digest_rows, read_staged_rows, to_matrix
from hindcast.staging import count_months

KEPT_DIFFERENCES: Final = 50


@dataclass(frozen=True)
class ProvedRun:
    """Whose chunks are proved: where they are staged, and by which run they were loaded."""

    folder: Path
    run_id: UUID
    source: str


@dataclass(frozen=True)
class Compared:
    """All of a chunk's rows as they were compared with the table's a moment ago, when nothing was to be written."""

    staged: StagedRows
    matches: Matches


@dataclass(frozen=True)
class Difference:
    """One field of one row that is not what the export says; `field` is `(row)` when the row is missing."""

    part: str
    line: int
    field: str
    export: Any
    table: Any


@dataclass
class ChunkProof:
    """What was found in the table for a chunk's events.

    Repeats and kept conflicts are not looked for; `pruned` events were rolled back since, and are not among the others.
    """

    chunk: int
    expected: int = 0
    matching: int = 0
    missing: int = 0
    differing: int = 0
    pruned: int = 0
    is_digest_equal: bool = True
    is_unwritten: bool = False  # compared while loading, which wrote none of its rows
    unidentified: int | None = None  # events whose person is remembered nowhere; None: the format has no persons
    months: list[tuple[str, str, int, int]] = field(default_factory=list)  # month, type, export, table
    differences: list[Difference] = field(default_factory=list)
    derived: DerivedProof = field(default_factory=DerivedProof)
    objects: ObjectProof = field(default_factory=ObjectProof)


def prove_chunk(
    connection: psycopg.Connection,
    run: ProvedRun,
    archived: ArchivedIds,
    chunk: Chunk,
    compared: Compared | None = None,
    held: HeldSums | None = None,
) -> ChunkProof:
    """Compare a chunk with the table, by sums or row by row, unless that was done; and with the ledger. Reads only."""
    staged = compared.staged if compared else read_staged_rows(run.folder, chunk, run.source)
    ledger = connection.execute(
        "SELECT chunk_id, digest, loaded, derived FROM import_chunks WHERE run_id = %s AND chunk_number = %s",
        (run.run_id, chunk.number),
    ).fetchone()
    if not ledger:
        return ChunkProof(chunk.number, expected=len(staged), missing=len(staged), is_digest_equal=False)
    chunk_id, digest, loaded, derived = ledger
    if not compared:
        staged = staged.without_lines(_kept_out(connection, run.run_id, chunk.part, chunk_id))
    staged, unidentified = look_up_people(connection, staged)
    matches = compared.matches if compared else held and held.match(staged, chunk.number)
    matches = matches or match_rows(connection, staged)
    pruned = archived.among(staged.take(matches.absent))
    if pruned:
        staged = staged.take([index for index, event_id in enumerate(staged.ids) if event_id not in pruned])
        matches = match_rows(connection, staged)
    wrong = np.flatnonzero(~matches.is_equal).tolist()
    proof = ChunkProof(chunk.number, expected=len(staged), matching=len(staged) - len(wrong), pruned=len(pruned))
    proof.unidentified, proof.is_unwritten = unidentified, compared is not None
    proof.differing = len(matches.differing)
    proof.missing = len(wrong) - proof.differing
    proof.months = _count_both(staged, matches)
    is_own = matches.is_equal & (matches.owners == chunk_id)
    others = [row for row in matches.differing.values() if row.import_chunk_id == chunk_id]
    ids = np.vstack([staged.id_matrix[is_own], to_matrix([row.event_id.bytes for row in others])])
    hashes = np.vstack([staged.hash_matrix[is_own], to_matrix([row.content_hash for row in others])])
    # Rows deleted since and loaded again carry a later chunk's id: then their content speaks for them alone.
    are_others = len(ids) < loaded and proof.matching == proof.expected
    proof.is_digest_equal = are_others or digest_rows(ids, hashes) == digest
    chosen = chosen_rows(run.folder, chunk, run.source)
    proof.derived = prove_derived(connection, chosen, LoadedChunk(chunk_id, derived), archived)
    proof.objects = prove_objects(run.folder, chunk, staged)
    proof.differences = _name_differences(connection, chunk, staged.take(wrong[:KEPT_DIFFERENCES]))
    return proof


def _count_both(staged: StagedRows, matches: Matches) -> list[tuple[str, str, int, int]]:
    """Count export and table by month and type; a row of the table equal to its record says the same."""
    if not len(staged):
        return []
    export = count_months(staged.table)
    table = export.copy()
    if not matches.is_equal.all():
        table = count_months(staged.where(matches.is_equal).table)
    for known in matches.differing.values():
        table[known.created_at.isoformat()[:7], known.values["event_type"]] += 1
    return [(*key, export[key], table[key]) for key in sorted(export.keys() | table.keys())]


def _name_differences(connection: psycopg.Connection, chunk: Chunk, wrong: StagedRows) -> list[Difference]:
    rows = {row.event_id.bytes: row for row in fetch_by_id(connection, wrong.ids, wrong.microseconds.tolist())}
    differences: list[Difference] = []
    for index, event_id in enumerate(wrong.ids):
        line, known = wrong.line(index), rows.get(event_id)
        if known is None:
            differences.append(Difference(chunk.part, line, "(row)", "present", "missing"))
            continue
        for name, (in_table, in_export) in diff_rows(known.values, wrong.values(index)).items():
            differences.append(Difference(chunk.part, line, name, in_export, in_table))
    return differences[:KEPT_DIFFERENCES]


def _kept_out(connection: psycopg.Connection, run_id: UUID, part: str, chunk_id: int) -> set[int]:
    """Lines of a chunk that contradict a row and were not put in its place."""
    rows = connection.execute(
        "SELECT line FROM import_conflicts WHERE run_id = %s AND part = %s AND chunk_id = %s AND NOT is_replaced",
        (run_id, part, chunk_id),
    )
    return {line for (line,) in rows}
