"""Verify: compare the table with a run's export again, at any time later.

Requires the run's staged chunks (a dry run of the same export stages them again) and, for the spot checks, the export
itself. Promises: reads only; the run in the ledger stays as it is.
"""

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from flows.job import find_job, start_job
from flows.parameters import RunId
from flows.proving import verify as verify_rows
from hindcast.plan import Request


@flow(
    name="verify",
    flow_run_name="verify {run}",
    persist_result=True,
    task_runner=ThreadPoolTaskRunner(max_workers=4),  # type: ignore[arg-type]  # a runner of futures, typed too narrow
)
def verify(run: RunId) -> str | None:
    """Compare the table with a run's export; fails naming the first row that differs.

    Args:
        run: The run's id, or its beginning.
    """
    with start_job(Request(file=f"run {run}"), is_dry_run=False) as job:
        find_job(job, run)
        verify_rows(job)
    return job.target.report_path
