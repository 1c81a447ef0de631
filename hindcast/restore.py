"""Restore: put archived rows back exactly as they were, chunk by chunk. What is there already stays as it is.

A row that had been put back in an archived row's place goes again, so that rolling back and restoring cancel out.
"""

from dataclasses import replace
from typing import Final

import psycopg
from psycopg import sql

from hindcast.archive import PUT_BACK, ArchivedChunk, Description, read_chunks, read_description
from hindcast.archive_ledger import Archive, adopt_archive, find_archive, set_status
from hindcast.archive_rows import Advance, scratch_folder
from hindcast.archive_store import archive_prefix, join_location, list_folders
from hindcast.archived_objects import commit_restored, read_index, restore_objects
from hindcast.archived_rows import Presence, compare_chunk, look_up_by_key
from hindcast.database import add_months
from hindcast.derived_restore import find_derived
from hindcast.errors import ArchiveError, ConfigurationError
from hindcast.month_tables import month_bounds
from hindcast.prune import Pace, no_pace
from hindcast.retired import tidy_up
from hindcast.row_digest import Digest, row_hash
from hindcast.row_texts import send_texts
from hindcast.settings import Settings
from hindcast.storage import is_s3
from hindcast.whole_months import settle_months

_TAKE_OUT: Final = sql.SQL(
    "DELETE FROM analytics_events AS e USING restoring AS a"
    " CROSS JOIN LATERAL jsonb_populate_record(NULL::analytics_events, a.{put_back}::jsonb) AS p"
    " WHERE a.{put_back} IS NOT NULL AND e.event_id = p.event_id AND e.created_at = p.created_at"
    " AND {row_hash} = {put_back_hash}"
)
_INSERT: Final = sql.SQL(
    "INSERT INTO analytics_events ({columns}) SELECT {columns} FROM restoring ON CONFLICT DO NOTHING"
)


def find_restorable(connection: psycopg.Connection, name: str, settings: Settings) -> tuple[Archive, Description]:
    """An archive by its id, the beginning of it, or its place; in the ledger or only in the store.

    Raises ConfigurationError when there is none such, ArchiveError when it is not whole.
    """
    if is_s3(name) or "/" in name:
        description = read_description(_folder(name))
        archive = adopt_archive(connection, description, _folder(name))
        return replace(archive, uri=_folder(name)), description  # it may have been moved
    try:
        archive = find_archive(connection, name)
    except ConfigurationError:
        prefix = archive_prefix(settings)
        folders = [folder for folder in list_folders(prefix) if name and folder.startswith(name.lower())]
        if len(folders) != 1:
            raise
        description = read_description(join_location(prefix, folders[0]))
        return adopt_archive(connection, description, join_location(prefix, folders[0])), description
    if archive.status in ("archiving", "failed"):
        raise ArchiveError(
            f"archive {archive.archive_id}: is {archive.status}: nothing was deleted, nothing to restore"
        )
    return archive, read_description(archive.uri)


def restore_rows(
    connection: psycopg.Connection, archive: Archive, settings: Settings, advance: Advance, pace: Pace = no_pace
) -> int:
    """Put the archived rows back; returns how many were missing. Safe to run again, also after a kill."""
    description = read_description(archive.uri)
    set_status(connection, archive, "restoring")
    look_up_by_key(connection)
    settle_months(connection, archive, description)
    tidy_up(connection)  # of a rollback that was killed: their space is about to be needed
    if description.days:
        add_months(connection, month_bounds(min(description.days)[:7])[0], month_bounds(max(description.days)[:7])[0])
    connection.execute(
        sql.SQL(
            "CREATE TEMP TABLE IF NOT EXISTS restoring AS SELECT {}, NULL::text AS {} FROM analytics_events LIMIT 0"
        ).format(_names(description), sql.Identifier(PUT_BACK))
    )
    # Once a row was there, each is looked for. Objects are committed with what is looked for.
    inserted, is_absent = 0, not read_index(description, archive.uri)
    with scratch_folder(settings) as scratch:
        restore_objects(connection, description, archive.uri, scratch, settings)
        for chunk in read_chunks(description, archive.uri, scratch):
            is_plain = chunk.table[PUT_BACK].null_count == chunk.rows
            copied = _copy_chunk(connection, description, chunk) if is_absent and is_plain else None
            is_absent &= copied is not None or not is_plain
            inserted += _restore_chunk(connection, description, chunk) if copied is None else copied
            advance(chunk.rows)
            pace(chunk.rows, chunk.size_bytes)
    return inserted


def verify_restored(
    connection: psycopg.Connection, archive: Archive, settings: Settings, advance: Advance
) -> tuple[Presence, str]:
    """What the table holds of the archived rows, and the digest of those that are as archived."""
    description = read_description(archive.uri)
    look_up_by_key(connection)
    found, digest = Presence(), Digest()
    with scratch_folder(settings) as scratch:
        for chunk in read_chunks(description, archive.uri, scratch):
            present = compare_chunk(connection, description.columns, chunk)
            if present.same < chunk.rows:
                present.superseded = len(find_derived(chunk).superseded(connection))
            found.add(present)
            if present.same == chunk.rows:
                digest.add_hashes(chunk.hashes)  # the server compared each with the row's own
            advance(chunk.rows)
    return found, digest.text


def _copy_chunk(connection: psycopg.Connection, description: Description, chunk: ArchivedChunk) -> int | None:
    """Copy a chunk straight into the table, which takes less time; None, with nothing done, when a row is there."""
    derived = find_derived(chunk)
    try:
        with connection.transaction():
            if derived.superseded(connection):
                return None
            copied = send_texts(connection, "analytics_events", chunk.table.select(description.columns))
            derived.remember(connection, [])
            return copied
    except psycopg.errors.UniqueViolation:
        return None


def _restore_chunk(connection: psycopg.Connection, description: Description, chunk: ArchivedChunk) -> int:
    with connection.transaction():
        connection.execute("TRUNCATE restoring")
        send_texts(connection, "restoring", chunk.table.select([*description.columns, PUT_BACK]))
        if chunk.table[PUT_BACK].null_count < chunk.rows:
            connection.execute(
                _TAKE_OUT.format(
                    put_back=sql.Identifier(PUT_BACK),
                    row_hash=row_hash(description.columns, "e"),
                    put_back_hash=row_hash(description.columns, "p"),
                )
            )
        derived = find_derived(chunk)
        superseded = derived.superseded(connection)
        if superseded:
            connection.execute("DELETE FROM restoring WHERE event_id = ANY(%s)", (superseded,))
        inserted = connection.execute(_INSERT.format(columns=_names(description))).rowcount
        derived.remember(connection, superseded)
        commit_restored(connection)
        return inserted


def _names(description: Description) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, description.columns))


def _folder(place: str) -> str:
    return place.removesuffix("/archive.json").rstrip("/")
