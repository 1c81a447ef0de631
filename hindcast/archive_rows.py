"""Archiving selected rows from one snapshot of the table, and reading the archive again before anything is deleted."""

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import psycopg
import pyarrow as pa
from psycopg import sql

from hindcast.archive import (
    PUT_BACK,
    ArchivedMonth,
    ArchiveWriter,
    Description,
    digest_archive,
    read_description,
    seal_archive,
)
from hindcast.archive_ledger import Archive, record_archived
from hindcast.archive_store import clear_folder
from hindcast.archived_objects import archive_objects, verify_objects
from hindcast.errors import ArchiveError, TargetError
from hindcast.lookahead import one_ahead
from hindcast.month_tables import find_large, is_whole, month_bounds, month_table
from hindcast.put_back import prepare_put_back
from hindcast.row_digest import table_columns
from hindcast.row_texts import copy_texts
from hindcast.selected_rows import SelectedRows, count_by_day, measure_rows, snapshot
from hindcast.selection import read_selection
from hindcast.settings import Settings
from hindcast.unchanged import name_snapshot
from hindcast.watched import watch

Advance = Callable[[int], None]
_ROWS: Final = sql.SQL(
    "SELECT {columns}, {put_back} FROM analytics_events AS e {join}"
    " WHERE {selected} AND e.created_at >= {start} AND e.created_at < {end}"
)
_JOIN_PUT_BACK: Final = sql.SQL("LEFT JOIN put_back AS b ON b.chunk_id = e.import_chunk_id AND b.event_id = e.event_id")


def archive_rows(
    connection: psycopg.Connection,
    archive: Archive,
    expected_digest: str | None,
    settings: Settings,
    advance: Advance,
    seen: SelectedRows | None = None,
) -> Description:
    """Write the selected rows into the archive's folder, emptied before. Safe to run again after a kill.

    `seen` is what was selected a moment ago: large months of no other rows are watched, and while the rows are still
    those, the server need not hash them once more.
    Raises TargetError when they are not the rows of `expected_digest`, which somebody looked at and confirmed.
    """
    selection = read_selection(archive.selection)
    clear_folder(archive.uri)
    marks = watch(connection, map(month_table, find_large(connection, seen.month_rows if seen else {})))
    with scratch_folder(settings) as scratch, snapshot(connection):
        columns = table_columns(connection)
        is_as_seen = seen is not None and count_by_day(connection, selection) == seen.days
        selected = seen if seen and is_as_seen else measure_rows(connection, selection, columns)
        require_digest(selected.digest.text, expected_digest)
        writer = ArchiveWriter(archive.uri, scratch, columns)
        is_putting_back = prepare_put_back(connection, selection)
        source = _Source(connection, columns, selection.condition("e"), is_putting_back, settings.prune_chunk_rows)
        snapshot_name = name_snapshot(connection)
        written = {month: writer.write_month(month, source.chunks(month), advance) for month in sorted(selected.months)}
        if written != selected.months and is_as_seen:  # somebody changed a row since
            selected = measure_rows(connection, selection, columns)
            require_digest(selected.digest.text, expected_digest)
        description = _describe(archive, columns, selected)
        description.snapshot = snapshot_name or msgspec.UNSET
        for month, digest in sorted(selected.months.items()):
            if written.get(month) != digest:
                raise ArchiveError(f"{archive.uri}: month {month}: the rows written are not what the table holds")
            whole = source.put_back_of[month] == 0 and is_whole(connection, month, digest.rows)
            mark = marks.get(month_table(month), msgspec.UNSET)
            description.months.append(ArchivedMonth(month, digest.rows, digest.text, whole, mark))
        description.objects = archive_objects(connection, archive.uri, selection, scratch, settings)
    description.days = sorted({day.isoformat() for day in selected.days} | source.put_back_days)
    description.put_back = sum(source.put_back_of.values())
    description.files = writer.files
    seal_archive(description, archive.uri)
    return description


def verify_archive(
    connection: psycopg.Connection, archive: Archive, settings: Settings, advance: Advance
) -> Description:
    """Read the archive again, hash every row anew, and only then let the ledger say `archived`."""
    description = read_description(archive.uri)
    with scratch_folder(settings) as scratch:
        digest = digest_archive(description, archive.uri, scratch, advance)
        verify_objects(description, archive.uri, scratch)
    if (digest.rows, digest.text) != (description.rows, description.digest):
        raise ArchiveError(
            f"{archive.uri}: {digest.rows:,} rows with digest {digest.text} were read back,"
            f" the table held {description.rows:,} with {description.digest}; nothing was deleted"
        )
    record_archived(connection, archive, description)
    return description


def require_selected(connection: psycopg.Connection, archive: Archive, digest: str) -> None:
    """Raise TargetError when the rows that are selected now are not those of the digest."""
    with snapshot(connection):
        found = measure_rows(connection, read_selection(archive.selection), table_columns(connection))
    require_digest(found.digest.text, digest)


def require_digest(found: str, expected: str | None) -> None:
    """Raise TargetError when the rows are not those that were confirmed."""
    if expected is not None and found != expected:
        raise TargetError("the selected rows changed since the preview was confirmed: nothing was done; look again")


@contextlib.contextmanager
def scratch_folder(settings: Settings) -> Iterator[Path]:
    """A folder for files on their way; gone afterwards."""
    settings.home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="scratch-", dir=settings.home) as folder:
        yield Path(folder)


class _Source:
    """The selected rows of a month as texts, with what each would put back."""

    def __init__(
        self,
        connection: psycopg.Connection,
        columns: tuple[str, ...],
        selected: sql.Composable,
        is_putting_back: bool,
        chunk_rows: int,
    ) -> None:
        self._connection, self._columns, self._selected = connection, columns, selected
        self._is_putting_back, self._chunk_rows = is_putting_back, chunk_rows
        self.put_back_of: dict[str, int] = {}
        self.put_back_days: set[str] = set()

    def chunks(self, month: str) -> Iterator[pa.Table]:
        self.put_back_of[month] = 0
        start, end = month_bounds(month)
        rows = _ROWS.format(
            columns=sql.SQL(", ").join(sql.Identifier("e", name) for name in self._columns),
            put_back=sql.SQL("b.put_back" if self._is_putting_back else "NULL"),
            join=_JOIN_PUT_BACK if self._is_putting_back else sql.SQL(""),
            selected=self._selected,
            start=sql.Literal(start),
            end=sql.Literal(end),
        )
        names = (*self._columns, PUT_BACK)
        for chunk in one_ahead(copy_texts(self._connection, rows, names, self._chunk_rows)):
            put_back = chunk[PUT_BACK].drop_null().to_pylist()
            self.put_back_of[month] += len(put_back)
            self.put_back_days.update(json.loads(row)["created_at"][:10] for row in put_back)
            yield chunk


def _describe(archive: Archive, columns: tuple[str, ...], selected: SelectedRows) -> Description:
    return Description(
        archive_id=str(archive.archive_id),
        selection=archive.selection,
        run_status=archive.run_status,
        operator=archive.operator,
        created_at=datetime.now(UTC).isoformat(),
        columns=list(columns),
        rows=selected.rows,
        digest=selected.digest.text,
        live_rows=selected.live_rows,
        counts=selected.month_counts(),
    )
