"""The steps of the flows: which tasks run, over which groups of chunks, and what the report keeps of their results."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, Final
from uuid import UUID

from expectations.engine import load_great_expectations
from expectations.gate import GateResult, merge_results
from hindcast.compare import merge_comparisons
from hindcast.database import connect, hold_target, require_schema, target_url
from hindcast.errors import ConfigurationError, GateError, VerificationError
from hindcast.findings import Findings, begin, timed
from hindcast.known import holds_own_ids
from hindcast.ledger import Run, list_conflicts, load_run, record_gates, sum_counts, touched_days
from hindcast.manifest import Manifest, group_chunks, load_manifest
from hindcast.measure import fetch_dashboard, measure_target, time_dashboard_queries
from hindcast.plan import Request, load_plan
from hindcast.pool import WorkerPool, shared_pool
from hindcast.rollups import ROLLUPS, days_with_rows
from hindcast.settings import Settings, load_settings
from hindcast.verify import Verification, sum_proofs
from hindcast.window import parse_window
from tasks.extract import plan_export, stage_export
from tasks.load import add_partitions, load_chunks, load_tasks, open_run, prepare_target
from tasks.progress import StepProgress, gather
from tasks.report import Target, reported
from tasks.rollup import rebuild_rollup
from tasks.validate import gate_events, gate_export, gate_loaded, gate_rollups, show_gate
from tasks.verify import compare_chunks, spot_check, verify_chunks

# A task run costs Prefect milliseconds; this many records are seconds of work.
RECORDS_A_TASK: Final = 50_000


@dataclass
class Job:
    """One flow run at work: what it found so far, its settings, its worker processes, its target."""

    findings: Findings
    settings: Settings
    pool: WorkerPool
    target: Target

    @property
    def url(self) -> str:
        assert self.target.url, "no target in a dry run"
        return self.target.url

    @property
    def manifest(self) -> Manifest:
        assert self.findings.manifest, "the export is not staged yet"
        return self.findings.manifest

    def load_calls(self, numbers: list[int]) -> tuple[list[Any], list[int]]:
        """The worker calls for these chunks, and how many records each covers."""
        findings = self.findings
        assert findings.plan and findings.folder and findings.run
        groups = group_chunks(self.manifest, numbers, RECORDS_A_TASK)
        sizes = [sum(self.manifest.chunks[n].staged_as.records for n in group) for group in groups]
        return load_tasks(findings.plan, findings.folder, findings.run, self.url, groups), sizes


@contextmanager
def start_job(request: Request, is_dry_run: bool) -> Iterator[Job]:
    """Begin: worker processes, and a report that is written however the steps end."""
    settings = load_settings()
    findings = begin(request, is_dry_run)
    target = Target()
    # Importing Great Expectations takes seconds; extracting needs none of it.
    warm_up_gates()
    processes = settings.workers or max(settings.pool_size, os_cores())
    with shared_pool(processes) as pool, reported(findings, target, settings):
        yield Job(findings, settings, pool, target)


def warm_up_gates() -> None:
    """Import Great Expectations aside: it takes seconds of a core, and nothing before the gates needs it."""
    threading.Thread(target=load_great_expectations, daemon=True).start()


@contextmanager
def hold(job: Job) -> Iterator[None]:
    """Be the target's one writer; its schema and version are right."""
    job.target.url = target_url(job.settings)
    with connect(job.url, job.settings) as connection:
        require_schema(connection)
    with hold_target(job.url, job.settings):
        try:
            yield
        except BaseException:
            job.pool.stop()  # once the lock is free, nobody of ours writes
            raise


def extract(job: Job) -> None:
    """Plan the export and stage it."""
    findings = job.findings
    findings.first_byte_at = time.time()
    with timed(findings, "extract"):
        findings.plan, findings.folder = plan_export(findings.request, job.settings)
        _require_suites(job, findings.plan.format, "export", *(() if findings.is_dry_run else ("rollups", "loaded")))
        findings.manifest = stage_export(findings.plan, findings.folder, job.pool)


def open_ledger(job: Job) -> None:
    """Begin or resume the run, and record what extraction found."""
    findings = job.findings
    assert findings.plan
    with timed(findings, "ledger"):
        operator = findings.request.operator or ""
        findings.run = open_run(findings.plan, job.url, findings.request.new_run, operator, job.settings)
        prepare_target(findings, job.manifest, job.url, job.settings)


def validate(job: Job) -> None:
    """Run the gates on the staged events and on the export; raises GateError when one fails."""
    findings = job.findings
    plan, folder = findings.plan, findings.folder
    assert plan and folder
    with timed(findings, "gate"):
        batches = group_chunks(job.manifest, list(range(len(job.manifest.chunks))), job.settings.gate_batch_rows)
        totals = job.manifest.totals
        whole = gate_export(plan, totals, findings.request.strict, job.settings)
        progress = StepProgress("gate", len(batches), "batches")
        results = []
        for chunks in batches:  # one after the other: GX holds the interpreter, and each frame is 100 MB
            result = gate_events(plan, folder, job.manifest, chunks, job.settings)
            results.extend([result] if result else [])
            progress.advance(1)
        progress.finish()
        _keep_gates(job, *([merge_results(results)] if results else []), whole)
    if plan.on_conflict == "fail" and totals.conflict:
        raise GateError(f"{totals.conflict:,} records contradict others of the export, and --on-conflict is fail")


def compare(job: Job) -> None:
    """Count per month and type what a load would find new, already there and conflicting."""
    findings = job.findings
    assert findings.plan
    job.target.url = target_url(job.settings)
    with connect(job.url, job.settings) as connection:
        require_schema(connection)
    no_run = Run(UUID(int=0), findings.plan.dataset, findings.plan.format, findings.plan.plan_hash, 0, frozenset())
    groups = group_chunks(job.manifest, list(range(len(job.manifest.chunks))), RECORDS_A_TASK)
    assert findings.folder
    calls = load_tasks(findings.plan, findings.folder, no_run, job.url, groups)
    with timed(findings, "compare"):
        futures = [compare_chunks.submit(call, job.pool) for call in calls]
        progress = StepProgress("compare", len(futures), "groups")
        findings.comparison = merge_comparisons(list(gather(futures, [1] * len(futures), progress)))


def load(job: Job) -> None:
    """Load the chunks that the ledger does not have, several at once."""
    findings = job.findings
    assert findings.run
    with timed(findings, "load"):
        add_partitions(job.manifest, job.url, job.settings)
        missing = [chunk.number for chunk in job.manifest.chunks if chunk.number not in findings.run.committed]
        calls, sizes = job.load_calls(missing)
        with connect(job.url, job.settings) as connection:
            # Within the export repeats are decided; on a resumed run some of its own rows may be there.
            asks = bool(findings.run.committed) or holds_own_ids(connection, findings.run.format)
        futures = [load_chunks.submit(replace(call, asks_own_ids=asks), job.pool) for call in calls]
        for _ in gather(futures, sizes, StepProgress("load", sum(sizes), "records")):
            pass
        with connect(job.url, job.settings) as connection:
            findings.counts = sum_counts(connection, findings.run.run_id)
            findings.table_conflicts = list_conflicts(connection, findings.run.run_id)


def rollup(job: Job) -> None:
    """Rebuild the rollups for the days the run touched; raises GateError when one is not what the raw rows say."""
    findings = job.findings
    assert findings.run
    with timed(findings, "rollup"):
        with connect(job.url, job.settings) as connection:
            days = touched_days(connection, findings.run.run_id)
        futures = [rebuild_rollup.submit(name, days, job.url, job.settings) for name in ROLLUPS]
        findings.rollups = list(gather(futures, [1] * len(futures), StepProgress("rollup", len(futures), "rollups")))
        _keep_gates(job, gate_rollups(findings.run.run_id, findings.rollups, job.settings))


def verify(job: Job) -> None:
    """Prove that the table holds what the export held; raises VerificationError naming the first difference."""
    findings = job.findings
    assert findings.run and findings.plan and findings.counts
    with timed(findings, "verify"):
        calls, sizes = job.load_calls(list(range(len(job.manifest.chunks))))
        futures = [verify_chunks.submit(call, job.pool) for call in calls]
        spot = spot_check.submit(calls[0], job.settings.spot_checks, job.pool) if calls else None
        loaded = findings.counts.loaded
        on_table = gate_loaded.submit(findings.run, findings.plan, job.url, loaded, job.settings) if loaded else None
        proofs = [p for group in gather(futures, sizes, StepProgress("verify", sum(sizes), "records")) for p in group]
        verification = sum_proofs(job.manifest, proofs)
        if spot:
            _add_spot_checks(verification, spot.result())
        findings.verification = verification
        findings.verified_at = time.time()
        _keep_gates(job, *([on_table.result()] if on_table else []))
    if verification.status != "passed":
        raise VerificationError(_describe_failure(verification))


def measure(job: Job) -> None:
    """Measure the table and the dashboards' queries as they are now."""
    findings, totals = job.findings, job.manifest.totals
    with timed(findings, "measure"), connect(job.url, job.settings) as connection:
        findings.after = measure_target(connection, totals.first_at, totals.last_at, None)
        if totals.first_at and totals.last_at:
            findings.dashboard_queries = time_dashboard_queries(connection, totals.first_at, totals.last_at)
    if job.settings.dashboard_url:
        findings.dashboard = fetch_dashboard(job.settings.dashboard_url)


def find_job(job: Job, run_id: str) -> None:
    """Take up a run of the ledger, to look at it again; the ledger is not changed."""
    findings, job.target.is_closing = job.findings, False
    job.target.url = target_url(job.settings)
    with connect(job.url, job.settings) as connection:
        require_schema(connection)
        findings.run, row = load_run(connection, run_id)
        findings.counts = sum_counts(connection, findings.run.run_id)
    findings.label = f"-verify-{findings.started_at:%Y%m%dT%H%M%S}"
    findings.folder = job.settings.staging_dir / f"{row['dataset']}-{row['plan_hash'][:16]}"
    findings.plan, findings.manifest = load_plan(findings.folder), load_manifest(findings.folder)
    findings.request = replace(findings.request, file=row["export"], operator=row["operator"])
    findings.first_byte_at = time.time()


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


def os_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _require_suites(job: Job, *names: str) -> None:
    """Raise ConfigurationError before any work when a suite that will be needed is not there."""
    directory = job.settings.expectations_dir
    missing = [f"{name}.json" for name in names if directory and not (directory / f"{name}.json").is_file()]
    if missing:
        raise ConfigurationError(f"HINDCAST_EXPECTATIONS_DIR {str(directory)!r}: lacks {', '.join(missing)}")


def _keep_gates(job: Job, *results: GateResult) -> None:
    job.findings.gates.extend(show_gate(result) for result in results)
    if job.findings.run and job.target.is_closing:
        with connect(job.url, job.settings) as connection:
            record_gates(connection, job.findings.run.run_id, job.findings.gates)
    for result in results:
        if result.status == "failed":
            failed = [check for check in result.checks if check.status in ("failed", "error")]
            first = failed[0]
            raise GateError(
                f"gate {result.suite}: {len(failed)} of {len(result.checks)} checks failed; "
                f"{first.rule} ({first.description}): {first.observed}"
            )


def _add_spot_checks(verification: Verification, result: Any) -> None:
    verification.add_check(
        "spot checks",
        result.equal == result.checked,
        f"{result.equal:,} of {result.checked:,} records re-read from the export's own bytes equal their rows",
    )
    verification.differences.extend(d for d in result.differences if d not in verification.differences)


def _describe_failure(verification: Verification) -> str:
    failed = [check for check in verification.checks if check["status"] != "passed"]
    sentence = f"verification: {failed[0]['name']}: {failed[0]['detail']}"
    if verification.differences:
        d = verification.differences[0]
        sentence += f"; first: {d.part} line {d.line} field {d.field}: export {d.export!r}, table {d.table!r}"
    return sentence
