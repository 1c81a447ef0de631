"""Prune: archive the selected rows, read the archive again, delete exactly those rows, look that they are gone.

Last, the space of whole months is given back.
"""

from typing import Any

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from hindcast.archive import Description
from hindcast.archive_ledger import Archive, note_failure
from hindcast.archive_ledger import open_archive as open_in_ledger
from hindcast.archive_rows import archive_rows as archive_all
from hindcast.archive_rows import require_selected
from hindcast.archive_rows import verify_archive as read_again
from hindcast.archived_rows import Presence
from hindcast.database import connect
from hindcast.preview import Preview, make_preview
from hindcast.prune import delete_rows as delete_all
from hindcast.prune import follow
from hindcast.prune import verify_absence as look_up
from hindcast.report_format import size
from hindcast.retired import find_retired, tidy_up
from hindcast.selection import Selection
from hindcast.settings import Settings
from hindcast.undo_report import Undo
from hindcast.undo_report import close_rollback as judge
from hindcast.undo_text import render_preview_markdown, render_proof_markdown
from tasks.policy import TRANSIENT
from tasks.progress import StepProgress


@task(name="preview", task_run_name="preview", cache_policy=NO_CACHE, **TRANSIENT)
def preview_rollback(selection: Selection, url: str, settings: Settings) -> Preview:
    """Say what a rollback would do, and publish it."""
    with connect(url, settings) as connection:
        preview = make_preview(connection, selection, settings)
    description = f"rollback of {selection.describe()}"
    create_markdown_artifact(key="rollback-preview", markdown=render_preview_markdown(preview), description=description)
    return preview


@task(name="open archive", task_run_name="open archive", cache_policy=NO_CACHE, **TRANSIENT)
def open_archive(selection: Selection, operator: str, url: str, settings: Settings) -> Archive:
    """Begin an archive in the ledger, or go on with the unfinished one of the same selection."""
    with connect(url, settings) as connection:
        return open_in_ledger(connection, selection, operator, settings)


@task(name="check confirmation", task_run_name="check confirmation", cache_policy=NO_CACHE, **TRANSIENT)
def check_confirmation(archive: Archive, preview: Preview, url: str, settings: Settings) -> None:
    """Refuse when the rows are not those that were confirmed."""
    with connect(url, settings) as connection:
        require_selected(connection, archive, preview.digest)


@task(name="archive rows", task_run_name="archive rows", cache_policy=NO_CACHE, **TRANSIENT)
def archive_rows(
    archive: Archive, seen: Preview, expected_digest: str | None, url: str, settings: Settings
) -> Description:
    """Write the selected rows to the archive, from one snapshot; refuse when they are not those expected."""
    progress = StepProgress("archive", seen.rows, "rows")
    with connect(url, settings) as connection:
        description = archive_all(connection, archive, expected_digest, settings, progress.advance, seen.selected)
    progress.finish()
    return description


@task(name="give up archive", task_run_name="give up archive", cache_policy=NO_CACHE, **TRANSIENT)
def give_up_archive(archive: Archive, error: str, url: str, settings: Settings) -> None:
    """Note why nothing was deleted; the next rollback begins another archive."""
    with connect(url, settings) as connection:
        note_failure(connection, archive, error)


@task(name="verify archive", task_run_name="verify archive", cache_policy=NO_CACHE, **TRANSIENT)
def verify_archive(archive: Archive, rows: int, url: str, settings: Settings) -> Description:
    """Read the archive again and compare its count and digest with the table's; only then may rows go."""
    progress = StepProgress("read again", rows, "rows")
    with connect(url, settings) as connection:
        description = read_again(connection, archive, settings, progress.advance)
    progress.finish()
    return description


@task(name="delete rows", task_run_name="delete rows", cache_policy=NO_CACHE, **TRANSIENT)
def delete_rows(archive: Archive, rows: int, pace: str | None, url: str, settings: Settings) -> None:
    """Delete the archived rows, chunk by chunk, whole months by their partition."""
    progress = StepProgress("delete", rows, "rows")
    with connect(url, settings) as connection:
        delete_all(connection, archive, settings, progress.advance, follow(pace))
    progress.finish()


@task(name="verify absence", task_run_name="verify absence", cache_policy=NO_CACHE, **TRANSIENT)
def verify_absence(archive: Archive, rows: int, url: str, settings: Settings) -> Presence:
    """Look every archived row up in the table."""
    progress = StepProgress("verify", rows, "rows")
    with connect(url, settings) as connection:
        presence = look_up(connection, archive, settings, progress.advance)
    progress.finish()
    return presence


@task(name="close rollback", task_run_name="close rollback", cache_policy=NO_CACHE, **TRANSIENT)
def close_rollback(undo: Undo, preview: Preview, url: str, settings: Settings) -> dict[str, Any]:
    """Judge what was found, close the archive (and the run), publish the proof."""
    with connect(url, settings) as connection:
        report = judge(connection, undo, preview)
    create_markdown_artifact(key="rollback-proof", markdown=render_proof_markdown(report))
    return report


@task(name="free space", task_run_name="free space", cache_policy=NO_CACHE, **TRANSIENT)
def free_space(url: str, settings: Settings) -> None:
    """Drop what held whole months. What somebody reads is left, with a warning."""
    log = get_run_logger()
    with connect(url, settings) as connection:
        progress = StepProgress("free space", len(find_retired(connection)), "months")
        dropped = tidy_up(connection)
    progress.finish()
    log.info("gave back %s of %d months", size(dropped.size_bytes), len(dropped.tables))
    for table, reason in dropped.left.items():
        log.warning("table %s is left: %s; the next rollback or restore tidies it up", table, reason)
