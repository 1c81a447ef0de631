"""The steps of rollback and restore."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID

from prefect import get_run_logger
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from pydantic import Field

from hindcast.archive import Description
from hindcast.archive_ledger import Archive
from hindcast.database import connect, require_schema, target_url
from hindcast.errors import ConfigurationError, HindcastError, TransientError
from hindcast.governor import govern
from hindcast.preview import Preview
from hindcast.retired import find_left
from hindcast.rollups import ROLLUPS, RollupProof
from hindcast.selection import Selection, find_selection
from hindcast.settings import Settings, load_settings
from hindcast.undo_report import Undo
from hindcast.undo_text import render_preview_markdown
from hindcast.writer_lock import WriterLock, hold_target
from tasks.progress import StepProgress, gather
from tasks.prune import (
    archive_rows,
    check_confirmation,
    close_rollback,
    delete_rows,
    free_space,
    give_up_archive,
    open_archive,
    preview_rollback,
    verify_absence,
    verify_archive,
)
from tasks.restore import close_restore, find_archive, restore_rows, verify_restored
from tasks.rollup import rebuild_rollup

# Somebody has to look; afterwards the preview is too old to decide by.
CONFIRMATION_SECONDS = 3600


class Confirmation(RunInput):
    """What a person types to let a rollback go on."""

    rows_to_delete: int = Field(description="The number of rows that would go, as the preview says, to confirm it")


@dataclass
class UndoJob:
    """One flow run at work on an undo."""

    url: str
    settings: Settings
    operator: str
    began: float = field(default_factory=time.monotonic)
    confirmed_digest: str | None = None
    lock: WriterLock | None = None
    governor: dict[str, Any] | None = None

    def close(self, undo: Undo) -> Undo:
        """The findings with the time they took and how they were paced."""
        undo.seconds, undo.governor = time.monotonic() - self.began, self.governor
        return undo


def begin_undo(operator: str | None) -> UndoJob:
    """Find the target; raises TargetError when it cannot be reached or has another schema."""
    settings = load_settings()
    job = UndoJob(target_url(settings), settings, operator or settings.operator)
    with connect(job.url, settings) as connection:
        require_schema(connection)
    return job


def preview(job: UndoJob, run: str | None, selection: Selection) -> Preview:
    """Say what would be done."""
    with connect(job.url, job.settings) as connection:
        found = find_selection(connection, run, selection)
    return preview_rollback(found, job.url, job.settings)


def require_no_overlap(seen: Preview, allow_overlap: bool) -> None:
    """Raise ConfigurationError naming the first later run concerned, unless that is allowed."""
    if seen.overlaps and not allow_overlap:
        first = seen.overlaps[0]
        raise ConfigurationError(
            f"{len(seen.overlaps)} later runs are concerned, such as run {first.run_id} ({first.dataset}):"
            f" {first.reason}; nothing was changed; --allow-overlap goes on all the same"
        )


def ask(job: UndoJob, seen: Preview) -> None:
    """Wait for a person's confirmation in the UI; it holds for the rows of this preview only."""
    form = Confirmation.with_initial_data(description=render_preview_markdown(seen))
    given: Confirmation = pause_flow_run(wait_for_input=form, timeout=CONFIRMATION_SECONDS, poll_interval=2)
    if given.rows_to_delete != seen.rows:
        raise ConfigurationError(
            f"rows to delete: {given.rows_to_delete:,} were typed, the preview says {seen.rows:,}; nothing was changed"
        )
    job.confirmed_digest = seen.digest


@contextmanager
def hold_undo(job: UndoJob) -> Iterator[None]:
    """Be the target's one writer."""
    job.began = time.monotonic()  # not the time a person took to confirm
    with hold_target(job.url, job.settings) as lock:
        job.lock = lock
        yield


@contextmanager
def _governed(job: UndoJob, what: str, archive_id: UUID) -> Iterator[str | None]:
    """Pace what is done meanwhile, and tell who holds the target; yields the pace's file."""
    if job.lock:
        job.lock.tell(what, archive_id)
    with govern(job.url, job.settings, archive_id, job.settings.home) as governor:
        try:
            yield governor.pace_path
        finally:
            job.governor = governor.summary()


def archive(job: UndoJob, seen: Preview) -> tuple[Archive, Description]:
    """Archive the rows and read the archive again; an unfinished rollback of the same selection goes on instead."""
    begun = open_archive(seen.selection, job.operator, job.url, job.settings)
    try:
        if begun.status == "archiving":
            archive_rows(begun, seen, job.confirmed_digest, job.url, job.settings)
        elif job.confirmed_digest:
            check_confirmation(begun, seen, job.url, job.settings)
        return begun, verify_archive(begun, seen.rows, job.url, job.settings)
    except TransientError:
        raise  # the same command goes on
    except HindcastError as error:
        give_up_archive(begun, str(error), job.url, job.settings)
        give_back_space(job)
        raise


def delete(job: UndoJob, begun: Archive, description: Description) -> None:
    """Delete exactly what was archived."""
    with _governed(job, "rollback", begun.archive_id) as pace:
        delete_rows(begun, description.rows, pace, job.url, job.settings)


def rollup(job: UndoJob, description: Description) -> list[RollupProof]:
    """Rebuild the rollups of the days concerned, and prove them."""
    if not description.days:
        return []
    days = [date.fromisoformat(day) for day in description.days]
    futures = [rebuild_rollup.submit(name, days, job.url, job.settings) for name in ROLLUPS]
    return list(gather(futures, [1] * len(futures), StepProgress("rollup", len(futures), "rollups")))


def prove_absence(
    job: UndoJob, begun: Archive, description: Description, proofs: list[RollupProof], seen: Preview
) -> dict[str, Any]:
    """Look that the rows are gone, and close the rollback."""
    presence = verify_absence(begun, description.rows, job.url, job.settings)
    undo = job.close(Undo(begun, description, presence, proofs=proofs))
    return close_rollback(undo, seen, job.url, job.settings)


def give_back_space(job: UndoJob) -> None:
    """Drop what held whole months, and what a kill left. What cannot be dropped does not undo what was proved."""
    try:
        with connect(job.url, job.settings) as connection:
            is_needed = bool(find_left(connection))
        if is_needed:
            with nullcontext() if job.lock else hold_target(job.url, job.settings):  # or it may be of who writes now
                free_space(job.url, job.settings)
    except HindcastError as error:
        get_run_logger().warning("space not given back: %s; the next rollback or restore does", error)


def find(job: UndoJob, name: str) -> tuple[Archive, Description]:
    """Find the archive to restore."""
    return find_archive(name, job.url, job.settings)


def restore_all(job: UndoJob, found: Archive, description: Description) -> int:
    """Put back what is not there; returns how many rows that were."""
    with _governed(job, "restore", found.archive_id) as pace:
        return restore_rows(found, description.rows, pace, job.url, job.settings)


def prove_presence(
    job: UndoJob, found: Archive, description: Description, restored: int, proofs: list[RollupProof]
) -> dict[str, Any]:
    """Look that every row is there as it was, and close the restore."""
    presence, digest = verify_restored(found, description.rows, job.url, job.settings)
    undo = job.close(Undo(found, description, presence, digest, restored, proofs))
    return close_restore(undo, job.url, job.settings)
