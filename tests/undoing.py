"""Rolls back and restores in this process, without Prefect; and the digest of the whole table, computed apart."""

import hashlib
from datetime import date
from typing import Any

from loading import query

from hindcast.archive import read_description
from hindcast.archive_ledger import Archive, open_archive
from hindcast.archive_rows import archive_rows, verify_archive
from hindcast.database import connect
from hindcast.preview import Preview, make_preview
from hindcast.prune import Pace, delete_rows, no_pace, verify_absence
from hindcast.restore import find_restorable, restore_rows, verify_restored
from hindcast.rollups import ROLLUPS, rebuild_rollup
from hindcast.selection import Selection, check_selection, find_selection
from hindcast.settings import load_settings
from hindcast.undo_report import Undo, close_restore, close_rollback, has_nothing_to_do, nothing_selected

JANUARY, ALL_DAYS = "2024-01-01..2024-02-01", "2024-01-01..2024-03-01"


def select(run: Any = None, window: str | None = None, **filters: Any) -> tuple[str | None, Selection]:
    """The parameters of the functions below."""
    span = check_selection(run and str(run), window, filters.get("include_live", False))
    return run and str(run), Selection(None, span, **filters)


def preview(url: str, run: Any = None, window: str | None = None, **filters: Any) -> Preview:
    run, selection = select(run, window, **filters)
    settings = load_settings()
    with connect(url, settings) as connection:
        return make_preview(connection, find_selection(connection, run, selection), settings)


def begin_rollback(url: str, run: Any = None, window: str | None = None, **filters: Any) -> Archive:
    """As far as the archive, verified."""
    seen = preview(url, run, window, **filters)
    settings = load_settings()
    with connect(url, settings) as connection:
        archive = open_archive(connection, seen.selection, "ab", settings)
        if archive.status == "archiving":
            archive_rows(connection, archive, None, settings, ignore, seen.selected)
        verify_archive(connection, archive, settings, ignore)
    return archive


def finish_rollback(url: str, archive: Archive, seen: Preview, pace: Pace = no_pace) -> dict[str, Any]:
    settings = load_settings()
    with connect(url, settings) as connection:
        delete_rows(connection, archive, settings, ignore, pace)
        description = read_description(archive.uri)
        proofs = (
            [rebuild_rollup(connection, name, days_of(description)) for name in ROLLUPS] if description.days else []
        )
        presence = verify_absence(connection, archive, settings, ignore)
        return close_rollback(connection, Undo(archive, description, presence, proofs=proofs), seen)


def roll_back(url: str, run: Any = None, window: str | None = None, **filters: Any) -> dict[str, Any]:
    seen = preview(url, run, window, **filters)
    if has_nothing_to_do(seen):
        return nothing_selected(seen)
    return finish_rollback(url, begin_rollback(url, run, window, **filters), seen)


def restore(url: str, name: str) -> dict[str, Any]:
    settings = load_settings()
    with connect(url, settings) as connection:
        archive, description = find_restorable(connection, name, settings)
        restored = restore_rows(connection, archive, settings, ignore)
        proofs = (
            [rebuild_rollup(connection, name, days_of(description)) for name in ROLLUPS] if description.days else []
        )
        presence, digest = verify_restored(connection, archive, settings, ignore)
        return close_restore(connection, Undo(archive, description, presence, digest, restored, proofs))


def table_digest(url: str) -> str:
    """Of every row, whole, and of every rollup."""
    texts = [
        str(rows) for rows in query(url, "SELECT e::text FROM analytics_events AS e ORDER BY event_id, created_at")
    ]
    for name in ROLLUPS:
        texts += [str(rows) for rows in query(url, f"SELECT r::text FROM {name} AS r ORDER BY 1")]  # noqa: S608  # ours
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def rebuild_rollups(url: str) -> None:
    """What a backfill does at its end."""
    days = [day for (day,) in query(url, "SELECT DISTINCT (created_at AT TIME ZONE 'UTC')::date FROM analytics_events")]
    with connect(url, load_settings()) as connection:
        for name in ROLLUPS:
            rebuild_rollup(connection, name, days)


def days_of(description: Any) -> list[date]:
    return [date.fromisoformat(day) for day in description.days]


def ignore(amount: int) -> None:
    """Nobody watches."""
