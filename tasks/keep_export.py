"""Keep export: the files of a successful run, copied and read back."""

from dataclasses import asdict
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from hindcast.database import connect
from hindcast.findings import Findings
from hindcast.keep_export import ExportFile, export_files, keep_file, record_kept
from hindcast.plan import Plan
from hindcast.settings import Settings
from tasks.policy import TRANSIENT


@task(name="keep export", task_run_name="keep {file.name}", cache_policy=NO_CACHE, **TRANSIENT)
def keep_export(file: ExportFile, findings: Findings, url: str, settings: Settings) -> dict[str, Any]:
    """Copy one file of the export and name the copy in the ledger."""
    assert findings.plan and findings.run and findings.manifest
    kept = keep_file(file, findings.plan, settings.keep_exports, findings.manifest.totals.last_at)
    with connect(url, settings) as connection:
        record_kept(connection, findings.run.run_id, file, kept)
    if kept.reason:
        get_run_logger().warning("%s: not kept: %s", file.name, kept.reason)
    return asdict(kept)


def list_files(plan: Plan) -> list[ExportFile]:
    """The files of an export."""
    return export_files(plan.parts)
