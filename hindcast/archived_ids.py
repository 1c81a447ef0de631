"""Rows that are not in the table because they were rolled back: verification subtracts them."""

from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

import psycopg
import pyarrow as pa
import pyarrow.compute as pc

from hindcast.archive import read_chunks, read_description
from hindcast.archive_rows import scratch_folder
from hindcast.settings import Settings
from hindcast.staged_rows import StagedRows
from hindcast.times import from_microseconds


class ArchivedIds:
    """Ids of rows that were rolled back: looked up in their archives a month at a time, when rows are missing."""

    def __init__(self, connection: psycopg.Connection, settings: Settings) -> None:
        self._connection, self._settings = connection, settings
        self._months: dict[date, frozenset[bytes]] = {}

    def among(self, absent: StagedRows) -> set[bytes]:
        """Ids of those of the absent rows that were rolled back."""
        found: set[bytes] = set()
        for first, _, ids in absent.by_month():
            found |= self._of_month(from_microseconds(first)).intersection(row.tobytes() for row in ids)
        return found

    def holds(self, event_id: bytes, moment: datetime) -> bool:
        """True when the row with this id, of that time, was rolled back."""
        return event_id in self._of_month(moment)

    def _of_month(self, moment: datetime) -> frozenset[bytes]:
        month = moment.astimezone(UTC).date().replace(day=1)
        if month not in self._months:
            start = datetime.combine(month, time(), UTC)
            end = (start + timedelta(days=32)).replace(day=1) - timedelta(microseconds=1)
            self._months[month] = find_archived(self._connection, self._settings, start, end)
        return self._months[month]


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


def count_archived(connection: psycopg.Connection, settings: Settings, run_id: UUID) -> int:
    """Rows that a run wrote, that were rolled back since and not restored; reads the archives made since it began.

    Raises ArchiveError when one cannot be read.
    """
    archives = connection.execute(
        "SELECT a.uri FROM import_archives AS a INNER JOIN import_runs AS r ON r.run_id = %s"
        " WHERE a.created_at >= r.started_at AND (a.run_id IS NULL OR a.run_id = r.run_id)"
        " AND a.status IN ('deleting', 'deleted', 'restoring')",
        (run_id,),
    ).fetchall()
    if not archives:
        return 0
    own = connection.execute("SELECT chunk_id::text FROM import_chunks WHERE run_id = %s", (run_id,)).fetchall()
    chunk_ids, count = pa.array([chunk_id for (chunk_id,) in own], pa.string()), 0
    with scratch_folder(settings) as scratch:
        for (uri,) in archives:
            for chunk in read_chunks(read_description(uri), uri, scratch):
                owners = chunk.table["import_chunk_id"].cast(pa.string())
                count += pc.sum(pc.is_in(owners, value_set=chunk_ids)).as_py() or 0
    return count


def _text(moment: datetime) -> str:
    """A time as PostgreSQL writes it: without zeros at the end of the fraction."""
    fraction = f".{moment.microsecond:06}".rstrip("0") if moment.microsecond else ""
    return f"{moment:%Y-%m-%d %H:%M:%S}{fraction}+00"
