"""Which of some staged rows the table already holds, and whether it says the same about them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg import sql

from hindcast.canonical import decode_value, encode_value
from hindcast.conflicts import COMPARED_FIELDS, diff_rows
from hindcast.event import CONTENT_FIELDS, hash_fields
from hindcast.times import from_microseconds, to_microseconds

_FETCHED: Final = ("event_id", "created_at", "tenant", *CONTENT_FIELDS, "import_chunk_id", "export_line")
_SELECT: Final = sql.SQL("SELECT {}, payload::text FROM analytics_events WHERE ").format(
    sql.SQL(", ").join(map(sql.Identifier, _FETCHED))
)
_BY_ID: Final = _SELECT + sql.SQL("event_id = ANY(%s) AND created_at >= %s AND created_at <= %s")
_BY_SOURCE_ID: Final = _SELECT + sql.SQL("source = %s AND tenant = %s AND source_event_id = ANY(%s)")

# Positions in a staged row (the order of the table's columns).
_ROW_FIELDS: Final = {
    "event_type": 4,
    "user_id": 5,
    "anonymous_id": 6,
    "session_id": 7,
    "course_id": 8,
    "lesson_id": 9,
    "module_id": 10,
    "user_agent": 11,
    "payload": 12,
    "source_event_id": 13,
}
_TENANT, _SOURCE_EVENT_ID = 3, 13


@dataclass(frozen=True, slots=True)
class KnownRow:
    """A row of the table and the digest of what it says now; in `values` the payload is canonical JSON."""

    event_id: UUID
    created_at: datetime
    tenant: str
    content_hash: bytes
    import_chunk_id: int | None
    export_line: int | None
    values: dict[str, Any]


@dataclass(frozen=True)
class Contradiction:
    """A staged row (by its index) and the row of the table that it contradicts."""

    row: int
    known: KnownRow
    fields: dict[str, list[Any]]


@dataclass
class Verdict:
    """Staged rows by what the table says of them; rows are indexes."""

    new: list[int] = field(default_factory=list)
    duplicates: list[int] = field(default_factory=list)
    conflicts: list[Contradiction] = field(default_factory=list)


def fetch_known(
    connection: psycopg.Connection, source: str, rows: Sequence[tuple[Any, ...]]
) -> list[KnownRow]:
    """Rows of the table with the ids of these staged rows, or with their source's own ids."""
    found = list(fetch_by_id(connection, [row[0] for row in rows], [row[1] for row in rows]))
    own_ids: dict[str, list[str]] = {}
    for row in rows:
        if row[_SOURCE_EVENT_ID] is not None:
            own_ids.setdefault(row[_TENANT], []).append(row[_SOURCE_EVENT_ID])
    for tenant, ids in own_ids.items():
        with connection.cursor(binary=True) as cursor:
            found.extend(_read_row(r) for r in cursor.execute(_BY_SOURCE_ID, (source, tenant, ids)))
    return found


def fetch_by_id(
    connection: psycopg.Connection, event_ids: Sequence[bytes], microseconds: Sequence[int]
) -> Iterator[KnownRow]:
    """Rows of the table with these event ids; the times bound the partitions that are looked at."""
    if not event_ids:
        return
    bounds = (from_microseconds(min(microseconds)), from_microseconds(max(microseconds)))
    with connection.cursor(binary=True) as cursor:
        for row in cursor.execute(_BY_ID, ([UUID(bytes=i) for i in event_ids], *bounds)):
            yield _read_row(row)


def compare_rows(
    rows: Sequence[tuple[Any, ...]], hashes: Sequence[bytes], known: Sequence[KnownRow]
) -> Verdict:
    """Tell new rows from duplicates (same content) and conflicts (same id, other content or time)."""
    if not known:
        return Verdict(new=list(range(len(rows))))
    by_id = {row.event_id.bytes: row for row in known}
    by_own_id = {(row.tenant, own_id): row for row in known if (own_id := row.values["source_event_id"])}
    verdict = Verdict()
    for index, row in enumerate(rows):
        match = by_id.get(row[0]) or by_own_id.get((row[_TENANT], row[_SOURCE_EVENT_ID]))
        if match is None:
            verdict.new.append(index)
        elif match.content_hash == hashes[index]:
            verdict.duplicates.append(index)
        else:
            verdict.conflicts.append(Contradiction(index, match, diff_rows(match.values, staged_values(row))))
    return verdict


def staged_values(row: tuple[Any, ...]) -> dict[str, Any]:
    """The compared fields of a staged row by name."""
    values = {name: row[position] for name, position in _ROW_FIELDS.items()}
    values["payload"] = values["payload"].decode()
    return values | {"created_at": from_microseconds(row[1])}


def _read_row(row: tuple[Any, ...]) -> KnownRow:
    event_id, created_at, tenant, *fields, chunk_id, line, payload_text = row
    payload = encode_value(decode_value((payload_text or "{}").encode()))
    content_hash = hash_fields(to_microseconds(created_at), fields, payload)
    values = dict(zip(COMPARED_FIELDS, (created_at, *fields, payload.decode()), strict=True))
    return KnownRow(event_id, created_at, tenant, content_hash, chunk_id, line, values)
