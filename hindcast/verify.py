"""Verify: what the table holds is what the export held. One side comes from the staged files (and, for the spot checks,
from the export's own bytes), the other from the table as it is now; the loader's counters are not asked.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
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
    verification = Verification()
    months: dict[tuple[str, str], list[int]] = {}
    for proof in proofs:
        verification.differences.extend(proof.differences[: KEPT_DIFFERENCES - len(verification.differences)])
        for month, kind, export, table in proof.months:
            counted = months.setdefault((month, kind), [0, 0])
            counted[0] += export
            counted[1] += table
    verification.months = sorted((month, kind, *both) for (month, kind), both in months.items())  # type: ignore[misc]
    expected, matching = (sum(getattr(p, n) for p in proofs) for n in ("expected", "matching"))
    missing, differing = (sum(getattr(p, n) for p in proofs) for n in ("missing", "differing"))
    unequal = [m for m in verification.months if m[2] != m[3]]
    first = "".join(f"; {m[0]} {m[1]}: {m[2]:,} in the export, {m[3]:,} in the table" for m in unequal[:1])
    verification.add_check(
        "counts",
        not unequal,
        f"{len(verification.months)} pairs of month and event type, {sum(m[3] for m in verification.months):,} rows"
        f" found by the export's own keys, {len(unequal)} pairs unequal{first}",
    )
    verification.add_check(
        "content",
        matching == expected and len(proofs) == len(manifest.chunks),
        f"{matching:,} of {expected:,} rows have the content digest of their record;"
        f" {missing:,} missing, {differing:,} different; {len(proofs)} of {len(manifest.chunks)} chunks looked at",
    )
    broken = [proof.chunk for proof in proofs if not proof.is_digest_equal]
    verification.add_check(
        "chunk digests",
        not broken,
        f"{len(proofs) - len(broken)} of {len(proofs)} chunk digests in the ledger equal those of the table's rows"
        + (f"; chunks {broken[:10]} differ" if broken else ""),
    )
    return verification


def _verify_chunk(connection: psycopg.Connection, task: LoadTask, folder: Path, chunk: Chunk) -> ChunkProof:
    proof = ChunkProof(chunk.number)
    staged = stage_rows(folder, chunk, task.source)
    ledger = connection.execute(
        "SELECT chunk_id, digest FROM import_chunks WHERE run_id = %s AND chunk_number = %s",
        (task.run_id, chunk.number),
    ).fetchone()
    if not ledger:
        proof.expected = len(staged.rows)
        proof.missing = len(staged.rows)
        proof.is_digest_equal = False
        return proof
    kept_out = _kept_out(connection, task.run_id, chunk.part, ledger[0])
    rows = [(row, digest) for row, digest in zip(staged.rows, staged.hashes, strict=True) if row[LINE] not in kept_out]
    found = {
        known.event_id.bytes: known
        for known in fetch_by_id(connection, [row[EVENT_ID] for row, _ in rows], [row[CREATED_AT] for row, _ in rows])
    }
    export_months: Counter[tuple[str, str]] = Counter()
    table_months: Counter[tuple[str, str]] = Counter()
    for row, content_hash in rows:
        key = (from_microseconds(row[CREATED_AT]).isoformat()[:7], row[EVENT_TYPE])
        export_months[key] += 1
        known = found.get(row[EVENT_ID])
        if known is not None:
            table_months[(known.created_at.isoformat()[:7], known.values["event_type"])] += 1
        if known is not None and known.content_hash == content_hash:
            proof.matching += 1
        else:
            proof.missing += known is None
            proof.differing += known is not None
            room = KEPT_DIFFERENCES - len(proof.differences)
            proof.differences.extend(list(_differences(chunk.part, row, known))[: max(room, 0)])
    proof.expected = len(rows)
    keys = sorted(export_months.keys() | table_months.keys())
    proof.months = [(month, kind, export_months[month, kind], table_months[month, kind]) for month, kind in keys]
    own = [(k.event_id.bytes, k.content_hash) for k in found.values() if k.import_chunk_id == ledger[0]]
    proof.is_digest_equal = digest_rows(own) == ledger[1]
    return proof


def _kept_out(connection: psycopg.Connection, run_id: UUID, part: str, chunk_id: int) -> set[int]:
    """Lines of a chunk that contradict a row and were not put in its place."""
    rows = connection.execute(
        "SELECT line FROM import_conflicts WHERE run_id = %s AND part = %s AND chunk_id = %s AND NOT is_replaced",
        (run_id, part, chunk_id),
    )
    return {line for (line,) in rows}


def _differences(part: str, row: tuple[Any, ...], known: KnownRow | None) -> Iterator[Difference]:
    if known is None:
        yield Difference(part, row[LINE], "(row)", "present", "missing")
        return
    for name, (in_table, in_export) in diff_rows(known.values, staged_values(row)).items():
        yield Difference(part, row[LINE], name, in_export, in_table)
