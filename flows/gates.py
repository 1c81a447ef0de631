"""The gates of a flow: on what is staged, while the rest is still being read, and what is kept and refused of them."""

from collections.abc import Sequence
from typing import Final

from expectations.gate import GateResult, merge_results
from flows.job import Job
from hindcast.ahead import ChunksAhead
from hindcast.database import connect
from hindcast.errors import ConfigurationError, GateError
from hindcast.findings import timed
from hindcast.ledger import record_gates
from hindcast.manifest import group_chunks
from tasks.progress import StepProgress
from tasks.validate import gate_events, gate_export, show_gate

# A gate holds about one and a half times the bytes that the records were; each costs a sixth of a second beside.
GATE_BATCH_BYTES: Final = 192 * 1024 * 1024


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
        keep_gates(job, *([merge_results(results)] if results else []), whole)
    if plan.on_conflict == "fail" and totals.conflict:
        raise GateError(f"{totals.conflict:,} records contradict others of the export, and --on-conflict is fail")


def gate_ahead(job: Job, ahead: ChunksAhead) -> None:
    """Gate what is staged, batch by batch: GX holds the interpreter, and each frame is 100 MB."""
    plan, folder = job.findings.plan, job.findings.folder
    assert plan and folder
    for chunks in ahead.batches(job.settings.gate_batch_rows, GATE_BATCH_BYTES):
        numbers = tuple(chunk.number for chunk in chunks)
        job.gated[numbers] = gate_events(plan, folder, chunks, job.settings)


def require_suites(job: Job, *names: str) -> None:
    """Raise ConfigurationError before any work when a suite that will be needed is not there."""
    directory = job.settings.expectations_dir
    missing = [f"{name}.json" for name in names if directory and not (directory / f"{name}.json").is_file()]
    if missing:
        raise ConfigurationError(f"HINDCAST_EXPECTATIONS_DIR {str(directory)!r}: lacks {', '.join(missing)}")


def keep_gates(job: Job, *results: GateResult) -> None:
    note_gates(job, results)
    refuse_failed(results)


def note_gates(job: Job, results: Sequence[GateResult]) -> None:
    job.findings.gates.extend(show_gate(result) for result in results)
    if job.findings.run and job.target.is_closing:
        with connect(job.url, job.settings) as connection:
            record_gates(connection, job.findings.run.run_id, job.findings.gates)


def refuse_failed(results: Sequence[GateResult]) -> None:
    for result in results:
        if result.status == "failed":
            failed = [check for check in result.checks if check.status in ("failed", "error")]
            first = failed[0]
            raise GateError(
                f"gate {result.suite}: {len(failed)} of {len(result.checks)} checks failed; "
                f"{first.rule} ({first.description}): {first.observed}"
            )
