"""Preflight: what would stop the run half-way is found before it begins."""

from dataclasses import asdict

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from hindcast.database import connect
from hindcast.findings import Findings
from hindcast.headroom import check_room
from hindcast.manifest import Manifest
from hindcast.preflight import Check, check_target, plan_months, require_passed
from hindcast.settings import Settings
from tasks.policy import TRANSIENT


@task(name="preflight", task_run_name="preflight", cache_policy=NO_CACHE, **TRANSIENT)
def preflight_target(findings: Findings, url: str, processes: int, settings: Settings) -> None:
    """Look at the target before anything is read; raises TargetError with a sentence for each failure."""
    _keep(findings, check_target(url, settings, processes, findings.request.on_conflict))


@task(name="preflight room", task_run_name="preflight room", cache_policy=NO_CACHE, **TRANSIENT)
def preflight_room(findings: Findings, url: str | None, settings: Settings) -> None:
    """Compare the room on the disks with the export's size."""
    assert findings.plan
    _keep(findings, check_room(settings, url, findings.plan.parts))


@task(name="preflight months", task_run_name="preflight months", cache_policy=NO_CACHE, **TRANSIENT)
def preflight_months(findings: Findings, manifest: Manifest, url: str, settings: Settings) -> None:
    """Say which months the load will make."""
    with connect(url, settings) as connection:
        _keep(findings, [plan_months(connection, manifest.totals.first_at, manifest.totals.last_at)])


def _keep(findings: Findings, checks: list[Check]) -> None:
    names = {check.check for check in checks}
    earlier = [told for told in findings.preflight if told["check"] not in names]  # a retry looks again
    findings.preflight = earlier + [asdict(check) for check in checks]
    for check in checks:
        get_run_logger().info("preflight %s %s: %s", check.check, check.status, check.sentence)
    require_passed(checks)
