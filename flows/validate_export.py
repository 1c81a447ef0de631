"""Validate: the dry run. Reads and gates an export; opens no database unless asked to compare with it.

Requires nothing but the export. Promises: writes nothing but staging files and a report.
"""

from typing import Annotated, Literal

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from flows.job import start_job
from flows.naming import name_validation
from flows.steps import compare as compare_with_target
from flows.steps import extract, validate
from hindcast.plan import Request


@flow(
    name="validate-export",
    flow_run_name=name_validation,
    task_runner=ThreadPoolTaskRunner(max_workers=4),  # type: ignore[arg-type]  # a runner of futures, typed too narrow
)
def validate_export(
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
    compare: bool = False,
) -> str | None:
    """Check an export and report, without loading it.

    Args:
        file: A file, folder, glob or s3://bucket/prefix; JSON lines, plain or .gz, .zst, .zip.
        format: What wrote the export; found out from the first records when empty.
        dataset: A name for reports; the format's name when empty.
        window: START..END in UTC, end not included; records outside are counted and left.
        chunk: Records a transaction would have.
        limit: Stop reading after so many records.
        on_conflict: The policy a load would have; with fail, contradictions within the export fail.
        tenant: Whose events these are, where the format does not say.
        options: The format's own options, name to value.
        operator: Initials of whoever runs this.
        strict: Fail when any record is rejected.
        compare: Also read the target: how many events are new, already there, conflicting.
    """
    request = Request(
        file, format, dataset, window, chunk, limit, on_conflict, tenant, options or {}, operator,
        dry_run=True, plan=compare, strict=strict,
    )  # fmt: skip
    with start_job(request, is_dry_run=True) as job:
        extract(job)
        validate(job)
        if compare:
            compare_with_target(job)
    return job.target.report_path
