"""Verify: what the table holds is what the export held.

One side comes from the staged files (for the spot checks: the export's own bytes), the other from the table as
it is now; the loader's counters are not asked.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg

from hindcast.conflicts import diff_rows
from hindcast.database import connect
from hindcast.known import KnownRow, fetch_by_id, staged_values
from hindcast.load import CREATED_AT, EVENT_ID, EVENT_TYPE, LINE, LoadTask, digest_rows, stage_rows
from hindcast.manifest import Chunk, Manifest, load_manifest
from hindcast.settings import load_settings
from hindcast.times import from_microseconds

KEPT_DIFFERENCES: Final = 50

_Expected = tuple[tuple[Any, ...], bytes]  # a staged row and its content digest


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
    """What was found in the table for a chunk's events (repeats and kept conflicts are not looked for)."""

    chunk: int
    expected: int = 0
    matching: int = 0
    missing: int = 0
    differing: int = 0
    is_digest_equal: bool = True
    months: list[tuple[str, str, int, int]] = field(default_factory=list)  # month, type, export, table
    differences: list[Difference] = field(default_factory=list)


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
    manifest = load_manifest(folder)
    with connect(task.url, load_settings()) as connection:
        return [_verify_chunk(connection, task, folder, manifest.chunks[number]) for number in task.chunks]


def sum_proofs(manifest: Manifest, proofs: Sequence[ChunkProof]) -> Verification:
    """Put the chunks' proofs together into the verdict on the run."""
    verification = Verification(months=_sum_months(proofs))
    for proof in proofs:
        verification.differences.extend(proof.differences[: KEPT_DIFFERENCES - len(verification.differences)])
    expected, matching = sum(p.expected for p in proofs), sum(p.matching for p in proofs)
    missing, differing = sum(p.missing for p in proofs), sum(p.differing for p in proofs)
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
        f" {missing:,} missing, {differing:,} different;"
        f" {len(proofs)} of {len(manifest.chunks)} chunks looked at",
    )
    broken = [proof.chunk for proof in proofs if not proof.is_digest_equal]
    verification.add_check(
        "chunk digests",
        not broken,
        f"{len(proofs) - len(broken)} of {len(proofs)} chunk digests in the ledger equal those of the rows"
        + (f"; chunks {broken[:10]} differ" if broken else ""),
    )
    return verification


def _sum_months(proofs: Sequence[ChunkProof]) -> list[tuple[str, str, int, int]]:
    export: Counter[tuple[str, str]] = Counter()
    table: Counter[tuple[str, str]] = Counter()
    for proof in proofs:
        for month, kind, in_export, in_table in proof.months:
            export[month, kind] += in_export
            table[month, kind] += in_table
    return [(*key, export[key], table[key]) for key in sorted(export.keys() | table.keys())]


def _verify_chunk(connection: psycopg.Connection, task: LoadTask, folder: Path, chunk: Chunk) -> ChunkProof:
    staged = stage_rows(folder, chunk, task.source)
    ledger = connection.execute(
        "SELECT chunk_id, digest FROM import_chunks WHERE run_id = %s AND chunk_number = %s",
        (task.run_id, chunk.number),
    ).fetchone()
    if not ledger:
        missing = len(staged.rows)
        return ChunkProof(chunk.number, expected=missing, missing=missing, is_digest_equal=False)
    chunk_id, digest = ledger
    kept_out = _kept_out(connection, task.run_id, chunk.part, chunk_id)
    rows = [pair for pair in zip(staged.rows, staged.hashes, strict=True) if pair[0][LINE] not in kept_out]
    ids, times = [row[EVENT_ID] for row, _ in rows], [row[CREATED_AT] for row, _ in rows]
    found = {known.event_id.bytes: known for known in fetch_by_id(connection, ids, times)}
    proof = _compare(chunk, rows, found)
    own = [(k.event_id.bytes, k.content_hash) for k in found.values() if k.import_chunk_id == chunk_id]
    proof.is_digest_equal = digest_rows(own) == digest
    return proof


def _compare(chunk: Chunk, rows: list[_Expected], found: dict[bytes, KnownRow]) -> ChunkProof:
    proof = ChunkProof(chunk.number, expected=len(rows))
    export_months: Counter[tuple[str, str]] = Counter()
    table_months: Counter[tuple[str, str]] = Counter()
    for row, content_hash in rows:
        export_months[_name_month(from_microseconds(row[CREATED_AT])), row[EVENT_TYPE]] += 1
        known = found.get(row[EVENT_ID])
        if known is not None:
            table_months[_name_month(known.created_at), known.values["event_type"]] += 1
            if known.content_hash == content_hash:
                proof.matching += 1
                continue
        proof.missing += known is None
        proof.differing += known is not None
        if len(proof.differences) < KEPT_DIFFERENCES:
            proof.differences.extend(_differences(chunk.part, row, known))
    keys = sorted(export_months.keys() | table_months.keys())
    proof.months = [(*key, export_months[key], table_months[key]) for key in keys]
    return proof


def _name_month(moment: datetime) -> str:
    return moment.isoformat()[:7]


def _kept_out(connection: psycopg.Connection, run_id: UUID, part: str, chunk_id: int) -> set[int]:
    """Lines of a chunk that contradict a row and were not put in its place."""
    rows = connection.execute(
        "SELECT line FROM import_conflicts"
        " WHERE run_id = %s AND part = %s AND chunk_id = %s AND NOT is_replaced",
        (run_id, part, chunk_id),
    )
    return {line for (line,) in rows}


def _differences(part: str, row: tuple[Any, ...], known: KnownRow | None) -> Iterator[Difference]:
    if known is None:
        yield Difference(part, row[LINE], "(row)", "present", "missing")
        return
    for name, (in_table, in_export) in diff_rows(known.values, staged_values(row)).items():
        yield Difference(part, row[LINE], name, in_export, in_table)
