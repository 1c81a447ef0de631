"""Verify: what the table holds is what the export held.

One side comes from the staged files (for the spot checks: the export's own bytes), the other from the table as
it is now; the loader's counters are not asked.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from hindcast.archived_ids import ArchivedIds
from hindcast.chunk_proof import KEPT_DIFFERENCES, ChunkProof, Difference, ProvedRun, prove_chunk
from hindcast.database import connect
from hindcast.derived_proof import DerivedProof
from hindcast.llm_proof import KEPT_FAULTS, ObjectProof
from hindcast.load_task import LoadTask
from hindcast.manifest import Manifest
from hindcast.row_sums import sum_own
from hindcast.settings import load_settings


@dataclass
class Verification:
    """The verdict on a run's rows. `months` are (month, event type, in the export, in the table).

    `rolled_back` rows are not there because they were rolled back since; nothing else counts them.
    """

    checks: list[dict[str, str]] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    months: list[tuple[str, str, int, int]] = field(default_factory=list)
    rolled_back: int = 0

    @property
    def status(self) -> str:
        """`passed` when every check did."""
        return "passed" if all(check["status"] == "passed" for check in self.checks) else "failed"

    def add_check(self, name: str, is_passed: bool, detail: str) -> None:
        """Note a check with a sentence saying what was compared."""
        self.checks.append({"name": name, "status": "passed" if is_passed else "failed", "detail": detail})


def verify_chunks(task: LoadTask) -> list[ChunkProof]:
    """Compare chunks with the table, by their sums or row by row; runs in a worker. Reads only."""
    manifest, settings = task.read_manifest(), load_settings()
    with connect(task.url, settings) as connection:
        held = sum_own(connection, task.run_id, task.chunks) if task.held is None else task.held
        archived = ArchivedIds(connection, settings)
        run = ProvedRun(task.staged, task.run_id, task.source)
        return [prove_chunk(connection, run, archived, manifest.chunks[n], held=held) for n in task.chunks]


def sum_proofs(manifest: Manifest, proofs: Sequence[ChunkProof]) -> Verification:
    """Put the chunks' proofs together into the verdict on the run."""
    verification = Verification(months=_sum_months(proofs))
    for proof in proofs:
        verification.differences.extend(proof.differences[: KEPT_DIFFERENCES - len(verification.differences)])
    expected, matching = sum(p.expected for p in proofs), sum(p.matching for p in proofs)
    missing, differing = sum(p.missing for p in proofs), sum(p.differing for p in proofs)
    pruned = verification.rolled_back = sum(p.pruned for p in proofs)
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
        f" {len(proofs)} of {len(manifest.chunks)} chunks looked at{_tell_unwritten(proofs)}",
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


def _tell_unwritten(proofs: Sequence[ChunkProof]) -> str:
    count = sum(proof.is_unwritten for proof in proofs)
    return f", {count} of them while loading, which found every row there and wrote none" if count else ""


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
