"""Rollup: rebuild what the run touched, and prove it."""

from collections.abc import Sequence
from datetime import date

from prefect import task
from prefect.cache_policies import NO_CACHE

from hindcast.database import connect
from hindcast.rollups import RollupProof
from hindcast.rollups import rebuild_rollup as rebuild
from hindcast.settings import Settings
from tasks.policy import TRANSIENT


@task(name="rebuild rollup", task_run_name="rebuild {rollup}", cache_policy=NO_CACHE, **TRANSIENT)
def rebuild_rollup(rollup: str, days: Sequence[date], url: str, settings: Settings) -> RollupProof:
    """Rebuild one rollup for these days in one transaction, proved against the raw rows."""
    with connect(url, settings) as connection:
        return rebuild(connection, rollup, days)
