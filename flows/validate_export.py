"""Validate: the dry run. Reads and gates an export; opens no database unless asked to compare with it.

Requires nothing but the export. Promises: writes nothing but staging files and a report.
"""

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from flows.gates import validate
from flows.job import start_job
from flows.naming import name_validation
from flows.parameters import (
    ChunkRecords,
    Dataset,
    ExportPath,
    Format,
    Initials,
    OnConflict,
    RecordLimit,
    Tenant,
    WindowText,
    named,
)
from flows.steps import compare as compare_with_target
from flows.steps import extract
from hindcast.plan import Request


@flow(
    name="validate-export",
    flow_run_name=name_validation,
    persist_result=True,
    task_runner=ThreadPoolTaskRunner(max_workers=4),  # type: ignore[arg-type]  # a runner of futures, typed too narrow
)
def validate_export(
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
    compare: bool = False,
) -> str | None:
    """Check an export and report, without loading it.

    Args:
        file: A file, folder, glob or s3://bucket/prefix; JSON lines, plain or .gz, .zst, .zip.
        format: What wrote the export; "detect" finds out from the first records.
        dataset: A name for reports; the format's name when empty.
        window: START..END in UTC, end not included, such as 2024-01-01..2024-02-01; the others are counted and left.
        chunk: Records a transaction would have; 0 takes ANALYTICS_IMPORT_CHUNK_SIZE.
        limit: Stop reading after so many records; 0 reads all.
        on_conflict: The policy a load would have; with fail, contradictions within the export fail.
        tenant: Whose events these are, where the format does not say.
        options: The format's own options, name to value, such as {"scrub_pii": "false"}.
        operator: Initials of whoever runs this; HINDCAST_OPERATOR when empty.
        strict: Fail when any record is rejected.
        compare: Also read the target: how many events are new, already there, conflicting.
    """
    request = Request(
        file, named(format), dataset or None, window or None, chunk or None, limit or None, on_conflict, tenant,
        options, operator,
        dry_run=True, plan=compare, strict=strict,
    )  # fmt: skip
    with start_job(request, is_dry_run=True) as job:
        extract(job)
        validate(job)
        if compare:
            compare_with_target(job)
    return job.target.report_path
