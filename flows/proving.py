"""The steps that prove a run: rollups rebuilt, the run's rows read back beside them, and the verdict."""

import time
from dataclasses import asdict, dataclass, replace
from typing import Any

from prefect.futures import PrefectFuture

from expectations.gate import GateResult
from flows.gates import keep_gates, note_gates, refuse_failed
from flows.job import RECORDS_A_TASK, Job
from hindcast.archived_ids import count_archived
from hindcast.block_ranges import summarise_months
from hindcast.database import connect, require_schema, target_url
from hindcast.errors import VerificationError
from hindcast.findings import timed
from hindcast.ledger import touched_days
from hindcast.rollups import ROLLUPS, days_with_rows, rollups_of
from hindcast.row_sums import SumPlan, plan_own
from hindcast.settings import load_settings
from hindcast.spot_checks import SpotResult
from hindcast.verify import Verification, sum_proofs
from hindcast.window import parse_window
from hindcast.written import prove_written
from tasks.progress import StepProgress, cancel_waiting, gather
from tasks.rollup import rebuild_rollup
from tasks.validate import gate_loaded, gate_rollups
from tasks.verify import spot_check, sum_rows, verify_chunks


@dataclass(frozen=True)
class ReadBack:
    """Reading that is under way: sums of the run's rows by chunk, the gate on them, the spot checks."""

    plan: SumPlan
    sums: list[PrefectFuture[Any]]
    on_table: PrefectFuture[GateResult] | None
    spot: PrefectFuture[SpotResult] | None

    @classmethod
    def begin(cls, job: Job) -> "ReadBack":
        """Begin to read back what the run wrote; what takes long by itself is begun first."""
        findings = job.findings
        assert findings.run and findings.plan and findings.counts
        run, loaded = findings.run, findings.counts.loaded + findings.counts.derived
        with connect(job.url, job.settings) as connection:
            loaded -= count_archived(connection, job.settings, run.run_id)
            on_table = gate_loaded.submit(run, findings.plan, job.url, loaded, job.settings) if loaded else None
            plan = replace(plan_own(connection, run.run_id, job.unproved()), seed=job.sum_seed)
        sums = submit_sums(job, plan)
        first, _ = job.load_calls([0] if job.manifest.chunks else [])
        spot = spot_check.submit(first[0], job.settings.spot_checks, job.pool) if first else None
        return cls(plan, sums, on_table, spot)

    def cancel(self) -> None:
        """Let nothing begin that has not begun."""
        cancel_waiting([*self.sums, *(future for future in (self.on_table, self.spot) if future)])


def rollup(job: Job, then_verifies: bool = True) -> None:
    """Rebuild the rollups for the days the run touched; raises GateError when one is not what the raw rows say.

    Beside it begins what verifying will read back: alone, neither keeps the database and us busy.
    """
    findings = job.findings
    assert findings.run
    with timed(findings, "rollup"):
        with connect(job.url, job.settings) as connection:
            days = touched_days(connection, findings.run.run_id)
            summarise_months(connection, days)
        names = rollups_of(findings.run.format)
        futures = [rebuild_rollup.submit(name, days, job.url, job.settings) for name in names]
        read_back = ReadBack.begin(job) if then_verifies else None
        try:
            progress = StepProgress("rollup", len(futures), "rollups")
            findings.rollups = list(gather(futures, [1] * len(futures), progress))
            keep_gates(job, gate_rollups(findings.run.run_id, findings.rollups, job.settings))
        except BaseException:
            if read_back:
                read_back.cancel()
            raise
        job.read_back = read_back


def verify(job: Job) -> None:
    """Prove that the table holds what the export held; raises VerificationError naming the first difference."""
    findings = job.findings
    assert findings.run
    with timed(findings, "verify"):
        read_back = job.read_back or ReadBack.begin(job)
        held = read_back.plan.put_together(future.result() for future in read_back.sums)
        with connect(job.url, job.settings) as connection:
            job.proofs.extend(prove_written(connection, findings.run.run_id, job.written, held))
        calls, sizes = job.load_calls(job.unproved(), RECORDS_A_TASK)
        calls = [replace(call, held=held.among(call.chunks)) for call in calls]
        futures = [verify_chunks.submit(call, job.pool) for call in calls]
        progress = StepProgress("verify", sum(sizes), "records")
        job.proofs.extend(proof for group in gather(futures, sizes, progress) for proof in group)
        verification = sum_proofs(job.manifest, sorted(job.proofs, key=lambda proof: proof.chunk))
        if read_back.spot:
            _add_spot_checks(verification, read_back.spot.result())
        findings.verification = verification
        results = [read_back.on_table.result()] if read_back.on_table else []
        findings.verified_at = time.time()
        note_gates(job, results)
    if verification.status != "passed":
        raise VerificationError(_describe_failure(verification))  # names the row, which the gate cannot
    refuse_failed(results)


def rebuild_window(window: str | None) -> list[dict[str, Any]]:
    """Rebuild and prove every rollup for the days of a window that have rows."""
    settings = load_settings()
    url = target_url(settings)
    span = parse_window(window)
    with connect(url, settings) as connection:
        require_schema(connection)
        days = days_with_rows(connection, span.start, span.end)
    futures = [rebuild_rollup.submit(name, days, url, settings) for name in ROLLUPS]
    proofs = [future.result() for future in futures]
    unproved = [proof.rollup for proof in proofs if not proof.is_proved]
    if unproved:
        raise VerificationError(f"rollups {', '.join(unproved)}: not what a GROUP BY of the raw rows gives")
    return [asdict(proof) for proof in proofs]


def submit_sums(job: Job, plan: SumPlan) -> list[PrefectFuture[Any]]:
    """Begin to sum what the table has of some chunks, a span of days a task."""
    return [sum_rows.submit(plan, span, job.url, job.settings) for span in plan.spans]


def _add_spot_checks(verification: Verification, result: Any) -> None:
    verification.add_check(
        "spot checks",
        result.equal == result.checked,
        f"{result.equal:,} of {result.checked:,} records re-read from the export's own bytes equal their rows"
        + (f"; {result.rolled_back:,} more were rolled back since" if result.rolled_back else ""),
    )
    verification.differences.extend(d for d in result.differences if d not in verification.differences)


def _describe_failure(verification: Verification) -> str:
    failed = [check for check in verification.checks if check["status"] != "passed"]
    sentence = f"verification: {failed[0]['name']}: {failed[0]['detail']}"
    if verification.differences:
        d = verification.differences[0]
        sentence += f"; first: {d.part} line {d.line} field {d.field}: export {d.export!r}, table {d.table!r}"
    return sentence
