"""Verify: compare the table with the export, row by row, and again by spot checks from the export's bytes."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from hindcast.chunk_proof import ChunkProof
from hindcast.compare import Comparison
from hindcast.load import LoadTask
from hindcast.pool import Workers
from hindcast.spot_checks import SpotResult
from tasks.naming import name_chunks
from tasks.policy import TRANSIENT


@task(name="verify chunks", task_run_name=name_chunks("verify"), cache_policy=NO_CACHE, **TRANSIENT)
def verify_chunks(load: LoadTask, pool: Workers) -> list[ChunkProof]:
    """Compare some chunks with the table in a worker process."""
    proofs: list[ChunkProof] = pool.call("hindcast.verify:verify_chunks", load)
    return proofs


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
