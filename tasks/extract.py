"""Extract: make the plan, stage the export."""

import time
from datetime import UTC, datetime
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from hindcast.ahead import ChunksAhead
from hindcast.errors import WindowClosed
from hindcast.extract import stage_export as stage
from hindcast.manifest import Manifest
from hindcast.plan import Plan, Request, make_plan, save_plan
from hindcast.pool import Workers
from hindcast.settings import Settings
from hindcast.staging import Segment
from tasks.policy import TRANSIENT
from tasks.progress import StepProgress


@task(name="plan export", task_run_name="plan {request.file}", cache_policy=NO_CACHE)
def plan_export(request: Request, settings: Settings) -> tuple[Plan, Path]:
    """Find parts, detect the format, fingerprint; returns the plan and its staging folder."""
    plan = make_plan(request, settings, datetime.now(UTC))
    folder = settings.staging_dir / plan.folder_name
    return save_plan(plan, folder), folder


@task(name="stage export", task_run_name="stage {plan.dataset}", cache_policy=NO_CACHE, **TRANSIENT)
def stage_export(
    plan: Plan, folder: Path, pool: Workers, ahead: ChunksAhead, closes_at: float | None = None
) -> Manifest | None:
    """Decode every record on all cores into staged chunks and rejects, and seal the manifest.

    `ahead` is told of each segment staged, and at the end that there are no more.
    None when `closes_at` (epoch seconds) came first; what is staged by then stays.
    """
    progress = StepProgress("extract", sum(part.size_bytes for part in plan.parts), "bytes", "records")

    def advance(segment: Segment) -> None:
        ahead.add(segment)
        progress.advance(segment.bytes_read, sum(chunk.records for chunk in segment.chunks))
        if closes_at is not None and time.time() >= closes_at:
            raise WindowClosed("closed while the export was being read")

    try:
        manifest = stage(plan, folder, pool, advance)
    except WindowClosed:
        return None
    finally:
        ahead.end()
    progress.finish()
    return manifest
