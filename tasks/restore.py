"""Restore: put archived rows back, and look that each is there as it was."""

from typing import Any

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from hindcast.archive import Description
from hindcast.archive_ledger import Archive
from hindcast.archived_rows import Presence
from hindcast.database import connect
from hindcast.prune import follow
from hindcast.restore import find_restorable
from hindcast.restore import restore_rows as put_back
from hindcast.restore import verify_restored as look_up
from hindcast.settings import Settings
from hindcast.undo_report import Undo
from hindcast.undo_report import close_restore as judge
from hindcast.undo_text import render_proof_markdown
from tasks.policy import TRANSIENT
from tasks.progress import StepProgress


@task(name="find archive", task_run_name="find archive {archive}", cache_policy=NO_CACHE, **TRANSIENT)
def find_archive(archive: str, url: str, settings: Settings) -> tuple[Archive, Description]:
    """Find an archive by its id or its place, in the ledger or in the store alone."""
    with connect(url, settings) as connection:
        return find_restorable(connection, archive, settings)


@task(name="restore rows", task_run_name="restore rows", cache_policy=NO_CACHE, **TRANSIENT)
def restore_rows(archive: Archive, rows: int, pace: str | None, url: str, settings: Settings) -> int:
    """Insert the archived rows that are not there, chunk by chunk; returns how many."""
    progress = StepProgress("restore", rows, "rows")
    with connect(url, settings) as connection:
        restored = put_back(connection, archive, settings, progress.advance, follow(pace))
    progress.finish()
    return restored


@task(name="verify restored", task_run_name="verify restored", cache_policy=NO_CACHE, **TRANSIENT)
def verify_restored(archive: Archive, rows: int, url: str, settings: Settings) -> tuple[Presence, str]:
    """Look every archived row up in the table and compare it, whole."""
    progress = StepProgress("verify", rows, "rows")
    with connect(url, settings) as connection:
        found = look_up(connection, archive, settings, progress.advance)
    progress.finish()
    return found


@task(name="close restore", task_run_name="close restore", cache_policy=NO_CACHE, **TRANSIENT)
def close_restore(undo: Undo, url: str, settings: Settings) -> dict[str, Any]:
    """Judge what was found, close the archive (and make the run what it was), publish the proof."""
    with connect(url, settings) as connection:
        report = judge(connection, undo)
    create_markdown_artifact(key="restore-proof", markdown=render_proof_markdown(report))
    return report
