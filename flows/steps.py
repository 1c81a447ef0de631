"""The steps of the flows: which tasks run, over which groups of chunks, and what the report keeps of their results."""

import time
from dataclasses import replace
from uuid import UUID

from flows.gates import gate_ahead, require_suites
from flows.job import RECORDS_A_TASK, Job, count_processes, governed
from flows.proving import rollup, submit_sums
from hindcast.ahead import ChunksAhead
from hindcast.compare import merge_comparisons
from hindcast.database import connect, require_schema, target_url
from hindcast.errors import WindowClosed
from hindcast.extract import list_segments
from hindcast.findings import timed
from hindcast.known import holds_own_ids
from hindcast.ledger import Run, list_conflicts, sum_counts
from hindcast.manifest import group_chunks
from hindcast.measure import fetch_dashboard, measure_target, time_dashboard_queries
from hindcast.row_sums import plan_earlier
from tasks.extract import plan_export, stage_export
from tasks.keep_export import keep_export, list_files
from tasks.load import add_partitions, load_chunks, load_tasks, open_run, prepare_target
from tasks.preflight import preflight_months, preflight_room
from tasks.progress import StepProgress, gather
from tasks.verify import compare_chunks


def extract(job: Job) -> None:
    """Plan the export and stage it; what is staged is gated meanwhile, as far as it makes whole batches."""
    findings = job.findings
    findings.first_byte_at = time.time()
    with timed(findings, "extract"):
        findings.plan, findings.folder = plan_export(findings.request, job.settings)
        job.pool.require_export(findings.folder)
        require_suites(job, findings.plan.format, "export", *(() if findings.is_dry_run else ("rollups", "loaded")))
        preflight_room(findings, job.target.url, job.settings)
        ahead = ChunksAhead(len(list_segments(findings.plan)))
        staging = stage_export.submit(findings.plan, findings.folder, job.pool, ahead, job.closes_at)
        try:
            gate_ahead(job, ahead)
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
        calls, sizes = job.load_calls(missing, at_once=count_processes(job.settings))
        with connect(job.url, job.settings) as connection:
            # Within the export repeats are decided; on a resumed run some of its own rows may be there.
            asks = bool(findings.run.committed) or holds_own_ids(connection, findings.run.format)
            earlier = plan_earlier(connection, findings.run.run_id, [job.manifest.chunks[n] for n in missing])
        terms = {"asks_own_ids": asks, "not_after": job.closes_at, "sum_seed": job.sum_seed}
        held = earlier.put_together(future.result() for future in submit_sums(job, earlier))
        with governed(job) as pace:
            calls = [replace(call, pace=pace, held=held.among(call.chunks), **terms) for call in calls]
            futures = [load_chunks.submit(call, job.pool) for call in calls]
            progress = StepProgress("load", sum(sizes), "records", "bytes")
            read = [job.bytes_of(call.chunks) for call in calls]
            loaded = [chunk for group in gather(futures, sizes, progress, read) for chunk in group]
        job.proofs = [chunk.proof for chunk in loaded if chunk.proof]
        job.written = {chunk.written.chunk: chunk.written for chunk in loaded if chunk.written}
        with connect(job.url, job.settings) as connection:
            findings.counts = sum_counts(connection, findings.run.run_id)
            findings.table_conflicts = list_conflicts(connection, findings.run.run_id)
    if len(loaded) < len(missing):
        rollup(job, then_verifies=False)
        raise WindowClosed(
            f"the low-traffic window closed with {len(missing) - len(loaded):,} of {len(job.manifest.chunks):,} chunks "
            "to load; run again to go on"
        )


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
