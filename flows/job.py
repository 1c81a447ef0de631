"""One flow run at work: its findings, settings, worker processes and target; how it begins and how it ends."""

import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pyarrow as pa

from expectations.engine import load_great_expectations
from expectations.gate import GateResult
from hindcast.chunk_proof import ChunkProof
from hindcast.database import connect, require_schema, target_url
from hindcast.findings import Findings, begin
from hindcast.governor import govern
from hindcast.ledger import load_run, sum_counts
from hindcast.manifest import Manifest, deal_chunks, group_chunks, load_manifest
from hindcast.plan import Request, follow_plan, load_plan
from hindcast.pool import Workers, shared_pool
from hindcast.row_sums import draw_seed
from hindcast.settings import Settings, load_settings
from hindcast.writer_lock import WriterLock, hold_target
from hindcast.written import WrittenRows
from tasks.load import load_tasks
from tasks.preflight import preflight_target
from tasks.report import Target, reported

# What a worker runs in a backfill.
WORKED_WITH: Final = ("hindcast.extract", "hindcast.load", "hindcast.verify")
# A task run costs Prefect milliseconds; this many records are seconds of work.
RECORDS_A_TASK: Final = 100_000


@dataclass
class Job:
    """One flow run at work: what it found so far, its settings, its worker processes, its target.

    `closes_at` (epoch seconds) is when the low-traffic window closes: no chunk is begun from then on.
    """

    findings: Findings
    settings: Settings
    pool: Workers
    target: Target
    closes_at: float | None = None
    lock: WriterLock | None = None
    proofs: list[ChunkProof] = field(default_factory=list)  # of chunks that loading found wholly there
    gated: dict[tuple[int, ...], GateResult | None] = field(default_factory=dict)  # by the chunks of the batch
    written: dict[int, WrittenRows] = field(default_factory=dict)  # by the numbers of the chunks
    sum_seed: int = field(default_factory=draw_seed, repr=False)
    read_back: Any = None  # what verifying reads, when it was begun before

    @property
    def url(self) -> str:
        assert self.target.url, "no target in a dry run"
        return self.target.url

    @property
    def manifest(self) -> Manifest:
        assert self.findings.manifest, "the export is not staged yet"
        return self.findings.manifest

    def load_calls(
        self, numbers: list[int], records: int = RECORDS_A_TASK, at_once: int = 1
    ) -> tuple[list[Any], list[int]]:
        """The worker calls for these chunks, and how many records each covers: about so many.

        Calls that run `at_once` take neighbouring chunks in turn.
        """
        findings = self.findings
        assert findings.plan and findings.folder and findings.run
        groups = deal_chunks(group_chunks(self.manifest.chunks, numbers, records), at_once)
        sizes = [sum(self.manifest.chunks[n].staged_as.records for n in group) for group in groups]
        seal = self.manifest.seal
        return load_tasks(findings.plan, findings.folder, findings.run, self.url, seal, groups), sizes

    def unproved(self) -> list[int]:
        """Numbers of the chunks that nothing has proved so far."""
        proved = {proof.chunk for proof in self.proofs}
        return [number for number in range(len(self.manifest.chunks)) if number not in proved]

    def bytes_of(self, numbers: Iterable[int]) -> int:
        """How many bytes of the export, decompressed, these chunks were."""
        chunks = (self.manifest.chunks[number].staged_as for number in numbers)
        return sum(chunk.last_byte - chunk.first_byte for chunk in chunks)


@contextmanager
def start_job(request: Request, is_dry_run: bool, closes_at: float | None = None) -> Iterator[Job]:
    """Begin: worker processes, and a report that is written however the steps end."""
    pa.set_memory_pool(pa.system_memory_pool())  # gives back what frames took: a tenth of this process's peak
    settings = load_settings()
    findings = begin(replace(request, operator=request.operator or settings.operator), is_dry_run)
    target = Target()
    warm_up_gates()
    with open_workers(settings) as pool, reported(findings, target, settings):
        yield Job(findings, settings, pool, target, closes_at)


@contextmanager
def open_workers(settings: Settings) -> Iterator[Workers]:
    """This machine's worker processes, or those of a Dask cluster where one is configured."""
    if settings.dask_address or settings.dask_workers:
        from hindcast.dask_pool import DaskPool

        with DaskPool(settings) as cluster:
            yield cluster
    else:
        with shared_pool(count_processes(settings)) as pool:
            pool.warm_up(*WORKED_WITH)
            yield pool


@contextmanager
def ready_workers(settings: Settings) -> Iterator[None]:
    """Let this machine's workers import what they need while Prefect creates the flow run; the job takes them over."""
    if settings.dask_address or settings.dask_workers:
        yield
    else:
        with open_workers(settings):
            yield


def count_processes(settings: Settings) -> int:
    """Worker processes of a run; each that loads has one connection."""
    return settings.workers or max(settings.pool_size, _cores())


def warm_up_gates() -> None:
    """Import Great Expectations aside: it takes seconds of a core, and nothing before the gates needs it."""
    threading.Thread(target=load_great_expectations, daemon=True).start()


@contextmanager
def hold(job: Job, wait_minutes: float = 0) -> Iterator[None]:
    """Be the target's one writer, once preflight has found nothing against it; waits for another if asked to."""
    job.target.url = target_url(job.settings)
    preflight_target(job.findings, job.url, count_processes(job.settings), job.settings)
    with hold_target(job.url, job.settings, wait_minutes, on_lost=job.pool.stop) as lock:
        job.lock = lock
        try:
            yield
        except BaseException:
            job.pool.stop()  # once the lock is free, nobody of ours writes
            lock.require()  # if it was lost, that is what to tell
            raise


@contextmanager
def governed(job: Job) -> Iterator[str | None]:
    """Pace what is loaded meanwhile; yields the pace's file for the workers, and leaves the story in the findings."""
    findings = job.findings
    assert findings.run and findings.folder
    with govern(job.url, job.settings, findings.run.run_id, findings.folder) as governor:
        try:
            yield governor.pace_path
        finally:
            findings.governor = governor.summary()


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
    follow_plan(findings.folder)
    findings.plan, findings.manifest = load_plan(findings.folder), load_manifest(findings.folder)
    findings.request = replace(findings.request, file=row["export"], operator=row["operator"])
    findings.first_byte_at = time.time()


def _cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
