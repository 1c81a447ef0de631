"""Archived rows beside the table: which of a chunk's rows are there now, and whether they still say the same."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from psycopg import sql

from hindcast.archive import PUT_BACK, ArchivedChunk
from hindcast.row_digest import HASH_BYTES, row_hash

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
    "SELECT count(*) FILTER (WHERE is_same), count(*) FILTER (WHERE NOT is_same AND is_put_back),"
    " count(*) FILTER (WHERE NOT is_same AND NOT is_put_back),"
    " (array_agg(event_id::text) FILTER (WHERE NOT is_same AND NOT is_put_back))[:{named}],"
    " (array_agg(created_at::text) FILTER (WHERE NOT is_same AND NOT is_put_back))[:{named}]"
    " FROM (SELECT e.event_id, e.created_at, {row_hash} = a.row_hash AS is_same,"
    " CASE WHEN a.put_back IS NULL THEN FALSE ELSE {row_hash} = {put_back_hash} END AS is_put_back"
    " FROM {keys} INNER JOIN analytics_events AS e ON {on_key}"
    " LEFT JOIN LATERAL jsonb_populate_record(NULL::analytics_events, a.put_back) AS p ON a.put_back IS NOT NULL"
    " OFFSET 0) AS s"
)


@dataclass
class Presence:
    """Which archived rows are in the table: as archived, replaced by what was put back, or changed since."""

    same: int = 0
    put_back: int = 0
    changed: int = 0
    superseded: int = 0  # derived events whose key has another one now
    named: list[dict[str, str]] = field(default_factory=list)  # the first changed rows

    def add(self, other: "Presence") -> None:
        """Count another chunk in."""
        self.same += other.same
        self.put_back += other.put_back
        self.changed += other.changed
        self.superseded += other.superseded
        self.named += other.named[: NAMED_ROWS - len(self.named)]


def compare_chunk(connection: psycopg.Connection, columns: Sequence[str], chunk: ArchivedChunk) -> Presence:
    """Look a chunk's rows up by their keys. Reads only."""
    query = _COMPARE.format(
        named=sql.Literal(NAMED_ROWS),
        row_hash=row_hash(columns, "e"),
        put_back_hash=row_hash(columns, "p"),
        keys=_KEYS,
        on_key=_ON_KEY,
    )
    row = connection.execute(query, key_parameters(chunk)).fetchone()
    assert row
    named = [{"event_id": key, "created_at": at} for key, at in zip(row[3] or [], row[4] or [], strict=True)]
    return Presence(row[0], row[1], row[2], named=named)


def look_up_by_key(connection: psycopg.Connection) -> None:
    """Make the session find a chunk's rows by their keys: the planner may read a month for every chunk of it."""
    connection.execute("SET enable_hashjoin = off; SET enable_mergejoin = off")


def key_parameters(chunk: ArchivedChunk) -> dict[str, Any]:
    """The parameters of `KEYS` and `ON_KEY`."""
    times, digits = chunk.values("created_at"), chunk.hashes.hex()
    is_putting_back = chunk.table[PUT_BACK].null_count < chunk.rows
    return {
        "ids": _as_literal(chunk.values("event_id")),
        "times": _as_literal(times),
        "hashes": _as_literal(
            rf"\\x{digits[at : at + 2 * HASH_BYTES]}" for at in range(0, len(digits), 2 * HASH_BYTES)
        ),
        "put_back": chunk.values(PUT_BACK) if is_putting_back else f"{{{','.join(['NULL'] * chunk.rows)}}}",
        "first": min(times),  # texts of one form, and all of one month
        "last": max(times),
    }


def _as_literal(values: Iterable[str]) -> str:
    """PostgreSQL's text of an array of values that need no escapes. To adapt a list takes longer than looking it up."""
    return '{"' + '","'.join(values) + '"}'
