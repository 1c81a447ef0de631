"""Load: open the run, load chunks. A task covers many chunks; each chunk is one transaction."""

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from hindcast.database import add_months, connect
from hindcast.findings import Findings
from hindcast.ledger import Run, record_manifest
from hindcast.ledger import open_run as open_in_ledger
from hindcast.load import Loaded
from hindcast.load_task import LoadTask
from hindcast.manifest import Manifest
from hindcast.measure import measure_target
from hindcast.plan import Plan
from hindcast.pool import Workers
from hindcast.settings import Settings
from tasks.naming import name_chunks
from tasks.policy import TRANSIENT


@task(name="open run", task_run_name="open run of {plan.dataset}", cache_policy=NO_CACHE, **TRANSIENT)
def open_run(plan: Plan, url: str, is_new_run: bool, operator: str, settings: Settings) -> Run:
    """Begin a run in the ledger, or go on with the unfinished one of the same plan."""
    with connect(url, settings) as connection:
        return open_in_ledger(connection, plan, operator, is_new_run)


@task(name="prepare target", task_run_name="prepare target", cache_policy=NO_CACHE, **TRANSIENT)
def prepare_target(findings: Findings, manifest: Manifest, url: str, settings: Settings) -> None:
    """Record rejects and parts, measure the table as it is, make the partitions that are missing."""
    assert findings.run and findings.folder
    first, last = manifest.totals.first_at, manifest.totals.last_at
    with connect(url, settings) as connection:
        record_manifest(connection, findings.run, manifest, findings.folder)
        findings.before = measure_target(connection, first, last, findings.run.run_id)


@task(name="add partitions", task_run_name="add partitions", cache_policy=NO_CACHE, **TRANSIENT)
def add_partitions(manifest: Manifest, url: str, settings: Settings) -> int:
    """Create the monthly partitions the export needs; returns how many were missing."""
    first, last = manifest.totals.first_at, manifest.totals.last_at
    if first is None or last is None:
        return 0
    with connect(url, settings) as connection:
        return add_months(connection, first, last)


@task(name="load chunks", task_run_name=name_chunks("load"), cache_policy=NO_CACHE, **TRANSIENT)
def load_chunks(load: LoadTask, pool: Workers) -> list[Loaded]:
    """Load some chunks in a worker process; those the ledger has are not loaded again."""
    loaded: list[Loaded] = pool.call("hindcast.load:load_and_prove", load)
    return loaded


def load_tasks(
    plan: Plan, folder: Path, run: Run, url: str, seal: str, groups: list[tuple[int, ...]]
) -> list[LoadTask]:
    """The calls that load (or verify) these groups of chunks; `seal` is that of the manifest they are from."""
    whose = (url, str(folder), run.run_id, plan.format, plan.on_conflict)
    return [LoadTask(*whose, group, seal=seal) for group in groups]
