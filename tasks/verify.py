"""Verify: compare the table with the export, row by row, and again by spot checks from the export's bytes."""

from datetime import date

from prefect import task
from prefect.cache_policies import NO_CACHE

from hindcast.chunk_proof import ChunkProof
from hindcast.compare import Comparison
from hindcast.database import connect
from hindcast.load_task import LoadTask
from hindcast.pool import Workers
from hindcast.row_sums import SumPlan, sum_span
from hindcast.settings import Settings
from hindcast.spot_checks import SpotResult
from tasks.naming import name_chunks
from tasks.policy import TRANSIENT


@task(name="verify chunks", task_run_name=name_chunks("verify"), cache_policy=NO_CACHE, **TRANSIENT)
def verify_chunks(load: LoadTask, pool: Workers) -> list[ChunkProof]:
    """Compare some chunks with the table in a worker process."""
    proofs: list[ChunkProof] = pool.call("hindcast.verify:verify_chunks", load)
    return proofs


@task(name="sum rows", task_run_name="sum rows from {span[0]}", cache_policy=NO_CACHE, **TRANSIENT)
def sum_rows(plan: SumPlan, span: tuple[date, date], url: str, settings: Settings) -> dict[int, tuple[int, int]]:
    """Count and sum the table's rows of a few days by their chunks."""
    with connect(url, settings) as connection:
        return sum_span(connection, plan, span)


@task(name="spot check", task_run_name="spot check {count} records", cache_policy=NO_CACHE, **TRANSIENT)
def spot_check(load: LoadTask, count: int, pool: Workers) -> SpotResult:
    """Re-read records from the export's own bytes and look them up in the table."""
    result: SpotResult = pool.call("hindcast.spot_checks:spot_check", load, count)
    return result


@task(name="compare chunks", task_run_name=name_chunks("compare"), cache_policy=NO_CACHE, **TRANSIENT)
def compare_chunks(load: LoadTask, pool: Workers) -> Comparison:
    """Count what a load of some chunks would do, writing nothing."""
    comparison: Comparison = pool.call("hindcast.compare:compare_chunks", load)
    return comparison
