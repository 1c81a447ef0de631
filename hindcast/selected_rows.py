"""Counting and hashing the selected rows, in one scan of the table."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

import psycopg
from psycopg import IsolationLevel, sql

from hindcast.row_digest import SUMS, Digest, row_hash
from hindcast.selection import Selection

_GROUPS = sql.SQL(
    "SELECT (created_at AT TIME ZONE 'UTC')::date, event_type, import_chunk_id, count(*), {sums}"
    " FROM (SELECT e.created_at, e.event_type, e.import_chunk_id, {row_hash} AS row_hash"
    " FROM analytics_events AS e WHERE {selected} OFFSET 0) AS s GROUP BY 1, 2, 3"
)


_COUNTS = sql.SQL(
    "SELECT (created_at AT TIME ZONE 'UTC')::date, count(*) FROM analytics_events AS e WHERE {} GROUP BY 1"
)


@dataclass
class SelectedRows:
    """What a selection takes: counts by day, by month and type, by chunk (None: the live platform), and digests."""

    digest: Digest = field(default_factory=Digest)
    days: Counter[date] = field(default_factory=Counter)
    types: Counter[tuple[str, str]] = field(default_factory=Counter)  # month, event type
    chunks: Counter[int | None] = field(default_factory=Counter)
    months: dict[str, Digest] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return self.digest.rows

    @property
    def live_rows(self) -> int:
        """Rows of the live platform among them."""
        return self.chunks[None]

    @property
    def month_rows(self) -> dict[str, int]:
        """Rows by month."""
        return {month: digest.rows for month, digest in self.months.items()}

    def month_counts(self) -> list[tuple[str, str, int]]:
        """Month, event type and rows, in order."""
        return [(month, kind, rows) for (month, kind), rows in sorted(self.types.items())]


def measure_rows(connection: psycopg.Connection, selection: Selection, columns: tuple[str, ...]) -> SelectedRows:
    """Count and hash the rows that are selected now."""
    query = _GROUPS.format(sums=SUMS, row_hash=row_hash(columns, "e"), selected=selection.condition("e"))
    found = SelectedRows()
    for day, kind, chunk_id, rows, high, low in connection.execute(query):
        month = f"{day:%Y-%m}"
        found.days[day] += rows
        found.types[month, kind] += rows
        found.chunks[chunk_id] += rows
        found.months.setdefault(month, Digest()).add_sums(rows, high, low)
        found.digest.add_sums(rows, high, low)
    return found


def count_by_day(connection: psycopg.Connection, selection: Selection) -> Counter[date]:
    """Count the rows that are selected now, which takes a thirtieth of hashing them."""
    return Counter(dict(connection.execute(_COUNTS.format(selection.condition("e"))).fetchall()))


@contextlib.contextmanager
def snapshot(connection: psycopg.Connection) -> Iterator[None]:
    """One REPEATABLE READ transaction without a limit on how long a statement reads."""
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    try:
        with connection.transaction():
            connection.execute("SET LOCAL statement_timeout = 0")
            yield
    finally:
        connection.isolation_level = None
