"""Archived rows beside the table: which of a chunk's rows are there now, and whether they still say the same."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg import sql

from hindcast.archive import PUT_BACK, ROW_HASH, ArchivedChunk
from hindcast.row_digest import row_hash

NAMED_ROWS: Final = 50

_KEYS: Final = sql.SQL(
    "unnest(%(ids)s::uuid[], %(times)s::timestamptz[], %(hashes)s::bytea[], %(put_back)s::jsonb[])"
    " AS a (event_id, created_at, row_hash, put_back)"
)
# The bounds let the planner leave the other months out.
_ON_KEY: Final = sql.SQL(
    "e.event_id = a.event_id AND e.created_at = a.created_at"
    " AND e.created_at >= %(first)s::timestamptz AND e.created_at <= %(last)s::timestamptz"
)
_COMPARE: Final = sql.SQL(
    "SELECT e.event_id, e.created_at, {row_hash} = a.row_hash, coalesce({row_hash} = {put_back_hash}, FALSE)"
    " FROM {keys} INNER JOIN analytics_events AS e ON {on_key}"
    " LEFT JOIN LATERAL jsonb_populate_record(NULL::analytics_events, a.put_back) AS p ON a.put_back IS NOT NULL"
)


@dataclass
class Presence:
    """Which archived rows are in the table: as archived, replaced by what was put back, or changed since."""

    same: int = 0
    put_back: int = 0
    changed: int = 0
    named: list[dict[str, str]] = field(default_factory=list)  # the first changed rows

    def add(self, other: "Presence") -> None:
        """Count another chunk in."""
        self.same += other.same
        self.put_back += other.put_back
        self.changed += other.changed
        self.named += other.named[: NAMED_ROWS - len(self.named)]


def compare_chunk(connection: psycopg.Connection, columns: Sequence[str], chunk: ArchivedChunk) -> Presence:
    """Look a chunk's rows up by their keys. Reads only."""
    query = _COMPARE.format(
        row_hash=row_hash(columns, "e"), put_back_hash=row_hash(columns, "p"), keys=_KEYS, on_key=_ON_KEY
    )
    found = Presence()
    for event_id, created_at, is_same, is_put_back in connection.execute(query, key_parameters(chunk)):
        found.same += is_same
        found.put_back += is_put_back and not is_same
        if not is_same and not is_put_back:
            found.changed += 1
            found.named.append(name_row(event_id, created_at))
    return found


def key_parameters(chunk: ArchivedChunk) -> dict[str, Any]:
    """The parameters of `KEYS` and `ON_KEY`."""
    times = chunk.values("created_at")
    return {
        "ids": chunk.values("event_id"),
        "times": times,
        "hashes": chunk.values(ROW_HASH),
        "put_back": chunk.values(PUT_BACK),
        "first": min(times),  # texts of one form, and all of one month
        "last": max(times),
    }


def name_row(event_id: UUID, created_at: datetime) -> dict[str, str]:
    """A row's key for a report."""
    return {"event_id": str(event_id), "created_at": created_at.isoformat()}
