"""Backfill: bring one export into the target, prove it, report it.

Requires a PostgreSQL with our schema (`hindcast db migrate`; the embedded one needs nothing) and an export that does
not change meanwhile. Promises: nothing is written before the gates pass; running it again, after success, failure or
a kill, loads nothing twice; the report is true or says what is not.
"""

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from flows.gates import validate
from flows.job import hold, start_job
from flows.naming import name_backfill
from flows.parameters import (
    ChunkRecords,
    Dataset,
    ExportPath,
    Format,
    Initials,
    OnConflict,
    RecordLimit,
    Tenant,
    WaitMinutes,
    WindowText,
    named,
)
from flows.proving import rollup, verify
from flows.steps import extract, keep, load, measure, open_ledger
from hindcast.plan import Request


@flow(
    name="backfill",
    flow_run_name=name_backfill,
    persist_result=True,
    task_runner=ThreadPoolTaskRunner(max_workers=4),  # type: ignore[arg-type]  # a runner of futures, typed too narrow
)
def backfill(
    file: ExportPath,
    format: Format = "detect",
    dataset: Dataset = "",
    window: WindowText = "",
    chunk: ChunkRecords = 0,
    limit: RecordLimit = 0,
    on_conflict: OnConflict = "keep",
    tenant: Tenant = "",
    options: dict[str, str] = {},  # noqa: B006  # never changed
    operator: Initials = "",
    strict: bool = False,
    new_run: bool = False,
    wait: WaitMinutes = 0,
) -> str | None:
    """Bring one export into the target.

    Args:
        file: A file, folder, glob or s3://bucket/prefix; JSON lines, plain or .gz, .zst, .zip.
        format: What wrote the export; "detect" finds out from the first records.
        dataset: A name for reports and the ledger; the format's name when empty.
        window: START..END in UTC, end not included, such as 2024-01-01..2024-02-01; the others are counted and left.
        chunk: Records a transaction; 0 takes ANALYTICS_IMPORT_CHUNK_SIZE.
        limit: Stop reading after so many records; 0 reads all.
        on_conflict: What to do with a record that contradicts a row: keep the row, replace it, or fail.
        tenant: Whose events these are, where the format does not say.
        options: The format's own options, name to value, such as {"scrub_pii": "false"}.
        operator: Initials of whoever runs this; HINDCAST_OPERATOR when empty.
        strict: Fail when any record is rejected.
        new_run: Start afresh although an unfinished run of this export exists.
        wait: Minutes to wait for another run that is writing; 0 refuses at once.
    """
    request = Request(
        file, named(format), dataset or None, window or None, chunk or None, limit or None, on_conflict, tenant,
        options, operator,
        strict=strict, new_run=new_run,
    )  # fmt: skip
    return import_export(request, wait=wait)


def import_export(request: Request, closes_at: float | None = None, wait: float = 0) -> str | None:
    """The steps of an import; returns the report's path. Waits for another writer for `wait` minutes.

    Raises RunFailed, or WindowClosed when `closes_at` (epoch seconds) comes before the last chunk has begun.
    """
    with start_job(request, is_dry_run=False, closes_at=closes_at) as job, hold(job, wait):
        extract(job)
        open_ledger(job)
        validate(job)
        load(job)
        rollup(job)
        verify(job)
        measure(job)
        keep(job)
    return job.target.report_path
