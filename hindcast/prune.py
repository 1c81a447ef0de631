"""Prune: delete exactly the archived rows, chunk by chunk; a chunk is one transaction with its row in the ledger.

A row goes only while it still is what was archived. What it had taken the place of is put back in the same transaction.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from hindcast.archive import ArchivedChunk, Description, read_chunks, read_description
from hindcast.archive_ledger import Archive, done_chunks, set_status
from hindcast.archive_rows import Advance, scratch_folder
from hindcast.archived_objects import read_index
from hindcast.archived_rows import Presence, compare_chunk, key_parameters, look_up_by_key
from hindcast.errors import ArchiveError
from hindcast.month_tables import month_bounds
from hindcast.pace import Pace as GovernedPace
from hindcast.removed_objects import remove_objects
from hindcast.row_digest import row_hash
from hindcast.settings import Settings
from hindcast.whole_months import chunks_of, empty_months

Pace = Callable[[int, int], None]  # called after each transaction with its rows and bytes; may wait

_DELETE: Final = sql.SQL(
    "WITH gone AS ("
    " DELETE FROM analytics_events AS e"
    " USING unnest(%(ids)s::uuid[], %(times)s::timestamptz[], %(hashes)s::bytea[], %(put_back)s::text[])"
    " AS a (event_id, created_at, row_hash, put_back)"
    " WHERE e.event_id = a.event_id AND e.created_at = a.created_at"
    " AND e.created_at >= %(first)s::timestamptz AND e.created_at <= %(last)s::timestamptz"
    " AND {row_hash} = a.row_hash RETURNING a.put_back"
    ") SELECT count(*), array_agg(put_back) FILTER (WHERE put_back IS NOT NULL) FROM gone"
)
_PUT_BACK: Final = sql.SQL(
    "INSERT INTO analytics_events ({columns}) SELECT {values} FROM unnest(%s::text[]) AS t (previous_row)"
    " CROSS JOIN LATERAL jsonb_populate_record(NULL::analytics_events, t.previous_row::jsonb) AS p"
    " ON CONFLICT DO NOTHING"
)


def no_pace(rows: int, size_bytes: int) -> None:
    """Go on at once."""


def follow(path: str | None) -> Pace:
    """The pace in a governor's file; without one, none."""
    if path is None:
        return no_pace
    governed = GovernedPace(Path(path))

    def wait(rows: int, size_bytes: int) -> None:
        governed.wait(rows, size_bytes)

    return wait


def delete_rows(
    connection: psycopg.Connection, archive: Archive, settings: Settings, advance: Advance, pace: Pace = no_pace
) -> None:
    """Delete the archived rows, whole months by emptying them. Goes on where an attempt broke off.

    Raises ArchiveError, before deleting anything more, when the archive is no longer whole.
    """
    description = read_description(archive.uri)
    read_index(description, archive.uri)
    set_status(connection, archive, "deleting")
    look_up_by_key(connection)
    empty_months(connection, archive, description, settings)
    done = done_chunks(connection, archive.archive_id)
    advance(sum(rows for file in description.files for number, rows in _numbered(file) if number in done))
    with scratch_folder(settings) as scratch:
        for chunk in read_chunks(description, archive.uri, scratch, done.__contains__):
            _delete_chunk(connection, archive, description, chunk)
            advance(chunk.rows)
            pace(chunk.rows, chunk.size_bytes)
    remove_objects(connection, description, archive.uri, settings)


def verify_absence(connection: psycopg.Connection, archive: Archive, settings: Settings, advance: Advance) -> Presence:
    """Look every archived row up in the table; those that are there and were not left on purpose are in `same`."""
    description = read_description(archive.uri)
    look_up_by_key(connection)
    found = Presence()
    gone = _of_empty_months(connection, description)
    advance(sum(gone.values()))
    with scratch_folder(settings) as scratch:
        for chunk in read_chunks(description, archive.uri, scratch, gone.__contains__):
            found.add(compare_chunk(connection, description.columns, chunk))
            advance(chunk.rows)
    return found


def _of_empty_months(connection: psycopg.Connection, description: Description) -> dict[int, int]:
    """Chunks, with their rows, of months in which the table has no row at all: none of theirs is there."""
    gone: dict[int, int] = {}
    for month in description.months:
        row = connection.execute(
            "SELECT EXISTS (SELECT FROM analytics_events WHERE created_at >= %s AND created_at < %s)",
            month_bounds(month.month),
        ).fetchone()
        if row and not row[0]:
            gone.update(chunks_of([file for file in description.files if file.month == month.month]))
    return gone


def _delete_chunk(
    connection: psycopg.Connection, archive: Archive, description: Description, chunk: ArchivedChunk
) -> None:
    with connection.transaction():
        query = _DELETE.format(row_hash=row_hash(description.columns, "e"))
        row = connection.execute(query, key_parameters(chunk)).fetchone()
        assert row
        deleted, previous = int(row[0]), row[1] or []
        changed = 0
        if deleted < chunk.rows:
            present = compare_chunk(connection, description.columns, chunk)
            if present.same:
                raise ArchiveError(f"chunk {chunk.number}: {present.same:,} rows are as archived and were not deleted")
            changed = present.changed + present.put_back
        put_back = _put_back(connection, description, previous) if previous else 0
        connection.execute(
            "INSERT INTO import_prune_chunks (archive_id, chunk_number, rows, deleted, changed, absent, put_back)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s)",
            (
                archive.archive_id, chunk.number, chunk.rows, deleted, changed, chunk.rows - deleted - changed,
                put_back,
            ),
        )  # fmt: skip


def _put_back(connection: psycopg.Connection, description: Description, previous: list[str]) -> int:
    columns = description.columns
    query = _PUT_BACK.format(
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        values=sql.SQL(", ").join(sql.Identifier("p", name) for name in columns),
    )
    return connection.execute(query, (previous,)).rowcount


def _numbered(file: Any) -> list[tuple[int, int]]:
    return [(file.first_chunk + index, rows) for index, rows in enumerate(file.chunks)]
