"""The steps of the flows: which tasks run, over which groups of chunks, and what the report keeps of their results."""

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, Final
from uuid import UUID

from expectations.gate import GateResult, merge_results
from flows.job import RECORDS_A_TASK, Job, governed
from hindcast.ahead import ChunksAhead
from hindcast.block_ranges import summarise_months
from hindcast.compare import merge_comparisons
from hindcast.database import connect, require_schema, target_url
from hindcast.errors import ConfigurationError, GateError, VerificationError, WindowClosed
from hindcast.extract import list_segments
from hindcast.findings import timed
from hindcast.known import holds_own_ids
from hindcast.ledger import Run, list_conflicts, record_gates, sum_counts, touched_days
from hindcast.manifest import group_chunks
from hindcast.measure import fetch_dashboard, measure_target, time_dashboard_queries
from hindcast.rollups import ROLLUPS, days_with_rows, rollups_of
from hindcast.row_sums import HeldSums, SumPlan, plan_earlier, plan_own
from hindcast.settings import load_settings
from hindcast.verify import Verification, sum_proofs
from hindcast.window import parse_window
from tasks.extract import plan_export, stage_export
from tasks.keep_export import keep_export, list_files
from tasks.load import add_partitions, load_chunks, load_tasks, open_run, prepare_target
from tasks.preflight import preflight_months, preflight_room
from tasks.progress import StepProgress, gather
from tasks.rollup import rebuild_rollup
from tasks.validate import gate_events, gate_export, gate_loaded, gate_rollups, show_gate
from tasks.verify import compare_chunks, spot_check, sum_rows, verify_chunks

# A gate holds about one and a half times the bytes that the records were; each costs a third of a second beside.
GATE_BATCH_BYTES: Final = 112 * 1024 * 1024


def extract(job: Job) -> None:
    """Plan the export and stage it; what is staged is gated meanwhile, as far as it makes whole batches."""
    findings = job.findings
    findings.first_byte_at = time.time()
    with timed(findings, "extract"):
        findings.plan, findings.folder = plan_export(findings.request, job.settings)
        job.pool.require_export(findings.folder)
        _require_suites(job, findings.plan.format, "export", *(() if findings.is_dry_run else ("rollups", "loaded")))
        preflight_room(findings, job.target.url, job.settings)
        ahead = ChunksAhead(len(list_segments(findings.plan)))
        staging = stage_export.submit(findings.plan, findings.folder, job.pool, ahead, job.closes_at)
        try:
            _gate_ahead(job, ahead)
        except BaseException:
            job.pool.stop()  # or the flow would wait until all is staged
            raise
        findings.manifest = staging.result()
    if findings.manifest is None:
        raise WindowClosed("the low-traffic window closed while the export was being read; run again to go on")


def open_ledger(job: Job) -> None:
    """Begin or resume the run, and record what extraction found."""
    findings = job.findings
    assert findings.plan
    with timed(findings, "ledger"):
        operator = findings.request.operator or ""
        findings.run = open_run(findings.plan, job.url, findings.request.new_run, operator, job.settings)
        if job.lock:
            job.lock.tell("backfill", findings.run.run_id)
        preflight_months(findings, job.manifest, job.url, job.settings)
        prepare_target(findings, job.manifest, job.url, job.settings)


def validate(job: Job) -> None:
    """Run the gates on the staged events and on the export; raises GateError when one fails."""
    findings = job.findings
    plan, folder = findings.plan, findings.folder
    assert plan and folder
    with timed(findings, "gate"):
        chunks = list(range(len(job.manifest.chunks)))
        batches = group_chunks(job.manifest.chunks, chunks, job.settings.gate_batch_rows, GATE_BATCH_BYTES)
        totals = job.manifest.totals
        whole = gate_export(plan, totals, findings.request.strict, job.settings)
        progress = StepProgress("gate", len(batches), "batches")
        results = []
        for batch in batches:
            if batch not in job.gated:
                job.gated[batch] = gate_events(
                    plan, folder, [job.manifest.chunks[number] for number in batch], job.settings
                )
            result = job.gated[batch]
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
    groups = group_chunks(job.manifest.chunks, list(range(len(job.manifest.chunks))), RECORDS_A_TASK)
    assert findings.folder
    calls = load_tasks(findings.plan, findings.folder, no_run, job.url, job.manifest.seal, groups)
    with timed(findings, "compare"):
        futures = [compare_chunks.submit(call, job.pool) for call in calls]
        progress = StepProgress("compare", len(futures), "groups")
        findings.comparison = merge_comparisons(list(gather(futures, [1] * len(futures), progress)))


def load(job: Job) -> None:
    """Load the chunks that the ledger does not have, several at once.

    Raises WindowClosed, with the rollups of what was loaded rebuilt and proved, when the window closed before the end.
    """
    findings = job.findings
    assert findings.run
    with timed(findings, "load"):
        add_partitions(job.manifest, job.url, job.settings)
        missing = [chunk.number for chunk in job.manifest.chunks if chunk.number not in findings.run.committed]
        calls, sizes = job.load_calls(missing)
        with connect(job.url, job.settings) as connection:
            # Within the export repeats are decided; on a resumed run some of its own rows may be there.
            asks = bool(findings.run.committed) or holds_own_ids(connection, findings.run.format)
            earlier = plan_earlier(connection, findings.run.run_id, [job.manifest.chunks[n] for n in missing])
        terms = {"asks_own_ids": asks, "not_after": job.closes_at}
        held = _sum_rows(job, earlier)
        with governed(job) as pace:
            calls = [replace(call, pace=pace, held=held.among(call.chunks), **terms) for call in calls]
            futures = [load_chunks.submit(call, job.pool) for call in calls]
            progress = StepProgress("load", sum(sizes), "records", "bytes")
            read = [job.bytes_of(call.chunks) for call in calls]
            loaded = [chunk for group in gather(futures, sizes, progress, read) for chunk in group]
        job.proofs = [chunk.proof for chunk in loaded if chunk.proof]
        with connect(job.url, job.settings) as connection:
            findings.counts = sum_counts(connection, findings.run.run_id)
            findings.table_conflicts = list_conflicts(connection, findings.run.run_id)
    if len(loaded) < len(missing):
        rollup(job)
        raise WindowClosed(
            f"the low-traffic window closed with {len(missing) - len(loaded):,} of {len(job.manifest.chunks):,} chunks "
            "to load; run again to go on"
        )


def rollup(job: Job) -> None:
    """Rebuild the rollups for the days the run touched; raises GateError when one is not what the raw rows say."""
    findings = job.findings
    assert findings.run
    with timed(findings, "rollup"):
        with connect(job.url, job.settings) as connection:
            days = touched_days(connection, findings.run.run_id)
            summarise_months(connection, days)
        names = rollups_of(findings.run.format)
        futures = [rebuild_rollup.submit(name, days, job.url, job.settings) for name in names]
        findings.rollups = list(gather(futures, [1] * len(futures), StepProgress("rollup", len(futures), "rollups")))
        _keep_gates(job, gate_rollups(findings.run.run_id, findings.rollups, job.settings))


def verify(job: Job) -> None:
    """Prove that the table holds what the export held; raises VerificationError naming the first difference."""
    findings = job.findings
    assert findings.run and findings.plan and findings.counts
    with timed(findings, "verify"):
        proved = {proof.chunk for proof in job.proofs}
        unproved = [n for n in range(len(job.manifest.chunks)) if n not in proved]
        calls, sizes = job.load_calls(unproved, 2 * RECORDS_A_TASK)
        loaded = findings.counts.loaded + findings.counts.derived
        # First what takes long by itself: begun last, it would be waited for alone.
        on_table = gate_loaded.submit(findings.run, findings.plan, job.url, loaded, job.settings) if loaded else None
        first, _ = job.load_calls([0] if job.manifest.chunks else [])
        spot = spot_check.submit(first[0], job.settings.spot_checks, job.pool) if first else None
        with connect(job.url, job.settings) as connection:
            own = plan_own(connection, findings.run.run_id, unproved)
        held = _sum_rows(job, own)
        calls = [replace(call, held=held.among(call.chunks)) for call in calls]
        futures = [verify_chunks.submit(call, job.pool) for call in calls]
        proofs = [p for group in gather(futures, sizes, StepProgress("verify", sum(sizes), "records")) for p in group]
        verification = sum_proofs(job.manifest, sorted([*job.proofs, *proofs], key=lambda proof: proof.chunk))
        if spot:
            _add_spot_checks(verification, spot.result())
        findings.verification = verification
        findings.verified_at = time.time()
        results = [on_table.result()] if on_table else []
        _note_gates(job, results)
    if verification.status != "passed":
        raise VerificationError(_describe_failure(verification))  # names the row, which the gate cannot
    _refuse_failed(results)


def measure(job: Job) -> None:
    """Measure the table and the dashboards' queries as they are now."""
    findings, totals = job.findings, job.manifest.totals
    with timed(findings, "measure"), connect(job.url, job.settings) as connection:
        findings.after = measure_target(connection, totals.first_at, totals.last_at, None)
        if totals.first_at and totals.last_at:
            findings.dashboard_queries = time_dashboard_queries(connection, totals.first_at, totals.last_at)
    if job.settings.dashboard_url:
        findings.dashboard = fetch_dashboard(job.settings.dashboard_url)


def keep(job: Job) -> None:
    """Copy the export's files to where raw exports are kept; what cannot be kept is told, and fails nothing."""
    findings, prefix = job.findings, job.settings.keep_exports
    assert findings.plan
    if prefix:
        with timed(findings, "keep"):
            futures = [keep_export.submit(file, findings, job.url, job.settings) for file in list_files(findings.plan)]
            findings.kept = list(gather(futures, [1] * len(futures), StepProgress("keep", len(futures), "files")))


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


def _sum_rows(job: Job, plan: SumPlan) -> HeldSums:
    """Sum what the table has of some chunks, a span of days a task."""
    futures = [sum_rows.submit(plan, span, job.url, job.settings) for span in plan.spans]
    return plan.put_together(future.result() for future in futures)


def _gate_ahead(job: Job, ahead: ChunksAhead) -> None:
    """Gate what is staged, batch by batch: GX holds the interpreter, and each frame is 100 MB."""
    plan, folder = job.findings.plan, job.findings.folder
    assert plan and folder
    for chunks in ahead.batches(job.settings.gate_batch_rows, GATE_BATCH_BYTES):
        numbers = tuple(chunk.number for chunk in chunks)
        job.gated[numbers] = gate_events(plan, folder, chunks, job.settings)


def _require_suites(job: Job, *names: str) -> None:
    """Raise ConfigurationError before any work when a suite that will be needed is not there."""
    directory = job.settings.expectations_dir
    missing = [f"{name}.json" for name in names if directory and not (directory / f"{name}.json").is_file()]
    if missing:
        raise ConfigurationError(f"HINDCAST_EXPECTATIONS_DIR {str(directory)!r}: lacks {', '.join(missing)}")


def _keep_gates(job: Job, *results: GateResult) -> None:
    _note_gates(job, results)
    _refuse_failed(results)


def _note_gates(job: Job, results: Sequence[GateResult]) -> None:
    job.findings.gates.extend(show_gate(result) for result in results)
    if job.findings.run and job.target.is_closing:
        with connect(job.url, job.settings) as connection:
            record_gates(connection, job.findings.run.run_id, job.findings.gates)


def _refuse_failed(results: Sequence[GateResult]) -> None:
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
