"""Derived events in the chunk's transaction: which of the chosen ones are made, and remembered with their event.

What is remembered counts for as long as its event is in the table, so nobody has to forget it after a rollback.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg
import pyarrow as pa
from psycopg import sql

from hindcast.canonical import decode_value
from hindcast.derived_staging import read_candidates, read_chosen
from hindcast.event import Event
from hindcast.event_columns import EventColumns
from hindcast.formats import find_format
from hindcast.known import match_rows
from hindcast.manifest import Chunk
from hindcast.staged_rows import StagedRows
from hindcast.staging import SCHEMA
from hindcast.times import from_microseconds

_NEW: Final = sql.SQL(
    " FROM unnest(%(keys)s::uuid[], %(ids)s::uuid[], %(times)s::timestamptz[]) AS n (derived_key, event_id, created_at)"
)
_REMEMBER: Final = (
    sql.SQL(
        "INSERT INTO derived_keys (derived_key, source, event_id, created_at)"
        " SELECT n.derived_key, %(source)s, n.event_id, n.created_at"
    )
    + _NEW
    + sql.SQL(" ORDER BY 1 ON CONFLICT DO NOTHING RETURNING derived_key")
)
_LOCK: Final = "SELECT FROM derived_keys WHERE derived_key = ANY(%(keys)s::uuid[]) ORDER BY derived_key FOR UPDATE"
# A statement of its own: it sees what whoever held the lock has committed. OFFSET 0 keeps it a look-up by key.
_TAKE_OVER: Final = (
    sql.SQL("UPDATE derived_keys AS k SET event_id = n.event_id, created_at = n.created_at")
    + _NEW
    + sql.SQL(
        " WHERE k.derived_key = n.derived_key AND NOT EXISTS (SELECT FROM analytics_events AS e"
        " WHERE e.event_id = k.event_id AND e.created_at = k.created_at OFFSET 0) RETURNING k.derived_key"
    )
)
_STATE_BEFORE: Final = (
    "SELECT s.state::text FROM derived_states AS s"
    " INNER JOIN analytics_events AS e ON e.event_id = s.event_id AND e.created_at = s.created_at"
    " WHERE s.derived_key = %s AND s.created_at < %s ORDER BY s.created_at DESC LIMIT 1"
)
_REMEMBER_STATE: Final = (
    "INSERT INTO derived_states (derived_key, created_at, event_id, source, state)"
    " VALUES (%s, %s, %s, %s, %s::jsonb) ON CONFLICT DO NOTHING"
)


def make_derived(connection: psycopg.Connection, folder: Path, chunk: Chunk, source: str) -> StagedRows:
    """The derived events that a chunk is to write, remembered in the transaction under way."""
    chosen = chosen_rows(folder, chunk, source)
    if not len(chosen):
        return chosen
    is_once = [state is None for state in chosen.table["state"].to_pylist()]
    once = chosen.take([index for index, flag in enumerate(is_once) if flag])
    held = hold_keys(connection, source, once.table["key"].to_pylist(), once.ids, once.microseconds.tolist())
    once = once.take([index for index, key in enumerate(once.table["key"].to_pylist()) if key in held])
    tables = [once.table.select(SCHEMA.names)]
    if not all(is_once):
        states = chosen.take([index for index, flag in enumerate(is_once) if not flag])
        tables.append(_describe_changes(connection, states, source))
    rows = StagedRows(pa.concat_tables(tables).combine_chunks(), source)
    absent = match_rows(connection, rows).absent if len(rows) else []
    return rows if len(absent) == len(rows) else rows.take(absent)


def hold_keys(
    connection: psycopg.Connection,
    source: str,
    keys: Sequence[bytes],
    ids: Sequence[bytes],
    microseconds: Sequence[int],
) -> set[bytes]:
    """Remember these keys (16 bytes each) with their events, in the transaction under way.

    Returns the keys that are now these events': those nobody had, or whose event is in the table no more.
    """
    if not keys:
        return set()
    given: dict[str, Any] = {
        "source": source,
        "keys": [UUID(bytes=key) for key in keys],
        "ids": [UUID(bytes=event_id) for event_id in ids],
        "times": [from_microseconds(value) for value in microseconds],
    }
    held = {key.bytes for (key,) in connection.execute(_REMEMBER, given)}
    if len(held) < len(keys):
        connection.execute(_LOCK, given)
        held |= {key.bytes for (key,) in connection.execute(_TAKE_OVER, given)}
    return held


def chosen_rows(folder: Path, chunk: Chunk, source: str) -> StagedRows:
    """The chosen candidates of a chunk with their `key`, `state`, `is_first` and `before`; lines are the part's."""
    chosen = read_chosen(folder, chunk.number) if chunk.staged_as.derived else []
    if not chosen:
        return StagedRows(SCHEMA.empty_table(), source)
    table = read_candidates(folder, chunk.segment, chunk.staged_as.derived_group)
    table = table.take([row["row"] for row in chosen])
    lines = pa.array(table["line"].to_numpy() + chunk.line_base)
    table = table.set_column(table.schema.get_field_index("line"), "line", lines)
    table = table.append_column("is_first", pa.array([row["is_first"] for row in chosen], pa.bool_()))
    table = table.append_column("before", pa.array([row["before"] for row in chosen], pa.string()))
    return StagedRows(table.combine_chunks(), source)


def _describe_changes(connection: psycopg.Connection, states: StagedRows, source: str) -> pa.Table:
    """The events that tell what changed; the first of its key in the export is compared with what the table has."""
    describe: Callable[[Event, Any, Any], Event | None] = find_format(source).describe_change  # type: ignore[attr-defined]
    columns, remembered = EventColumns(source), []
    for row in states.table.to_pylist():
        key, before = UUID(bytes=row["key"]), row["before"]
        if row["is_first"]:
            found = connection.execute(_STATE_BEFORE, (key, row["created_at"])).fetchone()
            before = found[0] if found else None
        event = describe(_read_event(row), decode_value(before or "null"), decode_value(row["state"]))
        if event is not None:
            columns.extend([event], [row["line"]], [row["byte_offset"]])
            remembered.append((key, row["created_at"], row["state"]))
    if not len(columns):
        return SCHEMA.empty_table()
    table = columns.to_table()
    ids = [UUID(bytes=event_id) for event_id in table["event_id"].to_pylist()]
    with connection.cursor() as cursor:
        cursor.executemany(
            _REMEMBER_STATE,
            [(key, at, event_id, source, state) for event_id, (key, at, state) in zip(ids, remembered, strict=True)],
        )
    return table


def _read_event(row: dict[str, Any]) -> Event:
    names = [name for name in Event.__struct_fields__ if name in row and name != "payload"]
    event = Event(row["created_at"], row["event_type"], payload=decode_value(row["payload"]))
    for name in names:
        setattr(event, name, row[name])
    return event
