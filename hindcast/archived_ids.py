"""Rows that are not in the table because they were rolled back: verification subtracts them."""

from datetime import datetime
from uuid import UUID

import psycopg
import pyarrow.compute as pc

from hindcast.archive import read_chunks, read_description
from hindcast.archive_rows import scratch_folder
from hindcast.settings import Settings


def find_archived(
    connection: psycopg.Connection, settings: Settings, first: datetime, last: datetime
) -> frozenset[bytes]:
    """Ids (16 bytes each) of archived rows from `first` to `last` (both included) that were not restored.

    A row of an archive whose deletion is not finished is among them also while it is still there. About 100 bytes of
    memory a row: ask month by month. Raises ArchiveError when an archive cannot be read.
    """
    archives = connection.execute(
        "SELECT uri FROM import_archives WHERE status IN ('deleting', 'deleted', 'restoring') AND days && ("
        " SELECT array_agg(day::date) FROM generate_series(%s::date, %s::date, interval '1 day') AS day)",
        (first.date(), last.date()),
    ).fetchall()
    found: set[bytes] = set()
    months = (f"{first:%Y-%m}", f"{last:%Y-%m}")
    with scratch_folder(settings) as scratch:
        for (uri,) in archives:
            description = read_description(uri)
            description.files = [file for file in description.files if months[0] <= file.month <= months[1]]
            for chunk in read_chunks(description, uri, scratch):
                # Texts of one form and zone, so they compare like the times.
                times = pc.and_(
                    pc.greater_equal(chunk.table["created_at"], _text(first)),
                    pc.less_equal(chunk.table["created_at"], _text(last)),
                )
                found.update(UUID(value).bytes for value in chunk.table["event_id"].filter(times).to_pylist())
    return frozenset(found)


def _text(moment: datetime) -> str:
    """A time as PostgreSQL writes it: without zeros at the end of the fraction."""
    fraction = f".{moment.microsecond:06}".rstrip("0") if moment.microsecond else ""
    return f"{moment:%Y-%m-%d %H:%M:%S}{fraction}+00"
