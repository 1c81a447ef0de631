"""Verify: what the table holds is what the export held.

One side comes from the staged files (for the spot checks: the export's own bytes), the other from the table as
it is now; the loader's counters are not asked.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import numpy as np
import psycopg

from hindcast.archived_ids import ArchivedIds
from hindcast.conflicts import diff_rows
from hindcast.database import connect
from hindcast.derived_keys import chosen_rows
from hindcast.derived_proof import DerivedProof, LoadedChunk, prove_derived
from hindcast.known import Matches, fetch_by_id, match_rows
from hindcast.llm_proof import KEPT_FAULTS, ObjectProof, prove_objects
from hindcast.load import LoadTask
from hindcast.manifest import Chunk, Manifest, load_manifest
from hindcast.people_links import look_up_people
from hindcast.settings import load_settings
from hindcast.staged_rows import StagedRows, digest_rows, read_staged_rows, to_matrix
from hindcast.staging import count_months

KEPT_DIFFERENCES: Final = 50


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
    unidentified: int | None = None  # events whose person is remembered nowhere; None: the format has no persons
    months: list[tuple[str, str, int, int]] = field(default_factory=list)  # month, type, export, table
    differences: list[Difference] = field(default_factory=list)
    derived: DerivedProof = field(default_factory=DerivedProof)
    objects: ObjectProof = field(default_factory=ObjectProof)


@dataclass
class Verification:
    """The verdict on a run's rows. `months` are (month, event type, in the export, in the table)."""

    checks: list[dict[str, str]] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    months: list[tuple[str, str, int, int]] = field(default_factory=list)

    @property
    def status(self) -> str:
        """`passed` when every check did."""
        return "passed" if all(check["status"] == "passed" for check in self.checks) else "failed"

    def add_check(self, name: str, is_passed: bool, detail: str) -> None:
        """Note a check with a sentence saying what was compared."""
        self.checks.append({"name": name, "status": "passed" if is_passed else "failed", "detail": detail})


def verify_chunks(task: LoadTask) -> list[ChunkProof]:
    """Compare chunks with the table, row by row; runs in a worker. Reads only."""
    folder = Path(task.folder)
    manifest, settings = load_manifest(folder), load_settings()
    with connect(task.url, settings) as connection:
        archived = ArchivedIds(connection, settings)
        return [_verify_chunk(connection, task, archived, manifest.chunks[number]) for number in task.chunks]


def sum_proofs(manifest: Manifest, proofs: Sequence[ChunkProof]) -> Verification:
    """Put the chunks' proofs together into the verdict on the run."""
    verification = Verification(months=_sum_months(proofs))
    for proof in proofs:
        verification.differences.extend(proof.differences[: KEPT_DIFFERENCES - len(verification.differences)])
    expected, matching = sum(p.expected for p in proofs), sum(p.matching for p in proofs)
    missing, differing = sum(p.missing for p in proofs), sum(p.differing for p in proofs)
    pruned = sum(p.pruned for p in proofs)
    rolled_back = f" {pruned:,} were rolled back since and are not looked for;" if pruned else ""
    months = verification.months
    unequal = [m for m in months if m[2] != m[3]]
    first = "".join(f"; {m[0]} {m[1]}: {m[2]:,} in the export, {m[3]:,} in the table" for m in unequal[:1])
    verification.add_check(
        "counts",
        not unequal,
        f"{len(months)} pairs of month and event type, {sum(m[3] for m in months):,} rows"
        f" found by the export's own keys, {len(unequal)} pairs unequal{first}",
    )
    verification.add_check(
        "content",
        matching == expected and len(proofs) == len(manifest.chunks),
        f"{matching:,} of {expected:,} rows have the content digest of their record;"
        f" {missing:,} missing, {differing:,} different;{rolled_back}"
        f" {len(proofs)} of {len(manifest.chunks)} chunks looked at",
    )
    derived = [proof.derived for proof in proofs if proof.derived != DerivedProof()]
    if derived:
        absent, repeated, unfound = (sum(getattr(d, n) for d in derived) for n in ("absent", "repeated", "unfound"))
        verification.add_check(
            "derived events",
            not absent + repeated + unfound,
            f"{sum(d.expected for d in derived):,} keys that have one derived event each: {absent:,} have none,"
            f" {repeated:,} more than one; {unfound:,} of the run's own are gone or differ",
        )
    unidentified = [p.unidentified for p in proofs if p.unidentified is not None]
    if unidentified:
        lacking = f"{sum(unidentified):,} events are of a person that identity_links lacks"
        verification.add_check("people", not sum(unidentified), lacking)
    _check_objects(verification, [proof.objects for proof in proofs])
    broken = [proof.chunk for proof in proofs if not proof.is_digest_equal]
    verification.add_check(
        "chunk digests",
        not broken,
        f"{len(proofs) - len(broken)} of {len(proofs)} chunk digests in the ledger equal those of the rows"
        + (f"; chunks {broken[:10]} differ" if broken else ""),
    )
    return verification


def _check_objects(verification: Verification, proofs: Sequence[ObjectProof]) -> None:
    ranges, wrong = sum(p.ranges for p in proofs), sum(p.wrong for p in proofs)
    if not ranges:
        return
    faults = "".join(f"; {fault}" for fault in [fault for p in proofs for fault in p.faults][:KEPT_FAULTS])
    verification.add_check(
        "objects",
        not wrong,
        f"{ranges:,} values of {sum(p.size_bytes for p in proofs):,} bytes read back by their references,"
        f" {wrong:,} not as they were staged{faults}",
    )


def _sum_months(proofs: Sequence[ChunkProof]) -> list[tuple[str, str, int, int]]:
    export: Counter[tuple[str, str]] = Counter()
    table: Counter[tuple[str, str]] = Counter()
    for proof in proofs:
        for month, kind, in_export, in_table in proof.months:
            export[month, kind] += in_export
            table[month, kind] += in_table
    return [(*key, export[key], table[key]) for key in sorted(export.keys() | table.keys())]


def _verify_chunk(connection: psycopg.Connection, task: LoadTask, archived: ArchivedIds, chunk: Chunk) -> ChunkProof:
    staged = read_staged_rows(Path(task.folder), chunk, task.source)
    ledger = connection.execute(
        "SELECT chunk_id, digest, loaded, derived FROM import_chunks WHERE run_id = %s AND chunk_number = %s",
        (task.run_id, chunk.number),
    ).fetchone()
    if not ledger:
        return ChunkProof(chunk.number, expected=len(staged), missing=len(staged), is_digest_equal=False)
    chunk_id, digest, loaded, derived = ledger
    staged = staged.without_lines(_kept_out(connection, task.run_id, chunk.part, chunk_id))
    staged, unidentified = look_up_people(connection, staged)
    matches = match_rows(connection, staged)
    pruned = archived.among(staged.take(matches.absent))
    if pruned:
        staged = staged.take([index for index, event_id in enumerate(staged.ids) if event_id not in pruned])
        matches = match_rows(connection, staged)
    wrong = np.flatnonzero(~matches.is_equal).tolist()
    proof = ChunkProof(chunk.number, expected=len(staged), matching=len(staged) - len(wrong), pruned=len(pruned))
    proof.unidentified = unidentified
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
    chosen = chosen_rows(Path(task.folder), chunk, task.source)
    proof.derived = prove_derived(connection, chosen, LoadedChunk(chunk_id, derived), archived)
    proof.objects = prove_objects(Path(task.folder), chunk, staged)
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
