"""Backfill: bring one export into the target, prove it, report it.

Requires a PostgreSQL with our schema (`hindcast db migrate`; the embedded one needs nothing) and an export that does
not change meanwhile. Promises: nothing is written before the gates pass; running it again, after success, failure or
a kill, loads nothing twice; the report is true or says what is not.
"""

from typing import Annotated, Literal

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from flows.job import hold, start_job
from flows.naming import name_backfill
from flows.steps import extract, keep, load, measure, open_ledger, rollup, validate, verify
from hindcast.plan import Request


@flow(
    name="backfill",
    flow_run_name=name_backfill,
    task_runner=ThreadPoolTaskRunner(max_workers=4),  # type: ignore[arg-type]  # a runner of futures, typed too narrow
)
def backfill(
    file: str,
    format: Literal["analytics_history"] | None = None,
    dataset: str | None = None,
    window: str | None = None,
    chunk: Annotated[int, Field(ge=1, le=1_000_000)] | None = None,
    limit: Annotated[int, Field(ge=1)] | None = None,
    on_conflict: Literal["keep", "replace", "fail"] = "keep",
    tenant: str = "",
    options: dict[str, str] | None = None,
    operator: str | None = None,
    strict: bool = False,
    new_run: bool = False,
    wait: Annotated[float, Field(ge=0, le=1440)] = 0,
) -> str | None:
    """Bring one export into the target.

    Args:
        file: A file, folder, glob or s3://bucket/prefix; JSON lines, plain or .gz, .zst, .zip.
        format: What wrote the export; found out from the first records when empty.
        dataset: A name for reports and the ledger; the format's name when empty.
        window: START..END in UTC, end not included; records outside are counted and left.
        chunk: Records a transaction.
        limit: Stop reading after so many records.
        on_conflict: What to do with a record that contradicts a row: keep the row, replace it, or fail.
        tenant: Whose events these are, where the format does not say.
        options: The format's own options, name to value.
        operator: Initials of whoever runs this.
        strict: Fail when any record is rejected.
        new_run: Start afresh although an unfinished run of this export exists.
        wait: Minutes to wait for another run that is writing; 0 refuses at once.
    """
    request = Request(
        file, format, dataset, window, chunk, limit, on_conflict, tenant, options or {}, operator,
        strict=strict, new_run=new_run,
    )  # fmt: skip
    with start_job(request, is_dry_run=False) as job, hold(job, wait):
        extract(job)
        open_ledger(job)
        validate(job)
        load(job)
        rollup(job)
        verify(job)
        measure(job)
        keep(job)
    return job.target.report_path
