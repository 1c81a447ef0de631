"""Which of some staged rows the table already holds, and whether it says the same about them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
import psycopg
from psycopg import sql

from hindcast.canonical import decode_value, encode_value
from hindcast.conflicts import COMPARED_FIELDS, diff_rows
from hindcast.errors import RecordError
from hindcast.event import CONTENT_FIELDS, hash_fields
from hindcast.staged_rows import StagedRows
from hindcast.times import from_microseconds, to_microseconds

_CONTENT: Final = sql.SQL(", ").join(map(sql.Identifier, CONTENT_FIELDS))
_SELECT: Final = sql.SQL(
    "SELECT event_id, created_at, import_chunk_id, {}, payload::text FROM analytics_events WHERE "
).format(_CONTENT)
# Ids and times as bytes: psycopg reads those in C, and makes no object of a class for each.
_SELECT_DIGESTED: Final = sql.SQL(
    "SELECT uuid_send(event_id), timestamptz_send(created_at), import_chunk_id, {}, payload::text"
    " FROM analytics_events WHERE "
).format(_CONTENT)
_HAS_ID: Final = sql.SQL("event_id = ANY(%s::uuid[]) AND created_at >= %s AND created_at <= %s")
_HAS_OWN_ID: Final = sql.SQL("source = %s AND tenant = %s AND source_event_id = ANY(%s)")
_EVENT_TYPE: Final = CONTENT_FIELDS.index("event_type")
_POSTGRES_EPOCH_MICROSECONDS: Final = 946_684_800_000_000  # 2000-01-01


@dataclass(frozen=True, slots=True)
class KnownRow:
    """A row of the table and the digest of what it says now; in `values` the payload is canonical JSON."""

    event_id: UUID
    created_at: datetime
    import_chunk_id: int | None
    content_hash: bytes
    values: dict[str, Any]


class KnownDigest(NamedTuple):
    """As much of a row of the table as telling it apart takes."""

    content_hash: bytes
    import_chunk_id: int | None
    microseconds: int
    event_type: str


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


def fetch_digests(connection: psycopg.Connection, staged: StagedRows) -> dict[bytes, KnownDigest]:
    """Digests of the table's rows with the ids and within the months of these staged rows, by id."""
    found: dict[bytes, KnownDigest] = {}
    with connection.cursor(binary=True) as cursor:
        # Month by month: one late event would else have every id looked for in every partition.
        for first, last, ids in staged.by_month():
            cursor.execute(
                _SELECT_DIGESTED + _HAS_ID, (_join_ids(ids), from_microseconds(first), from_microseconds(last))
            )
            for event_id, sent_at, chunk_id, *fields, payload in cursor.fetchall():
                microseconds = int.from_bytes(sent_at, signed=True) + _POSTGRES_EPOCH_MICROSECONDS
                content_hash = hash_fields(microseconds, fields, _canonical(payload))
                found[event_id] = KnownDigest(content_hash, chunk_id, microseconds, fields[_EVENT_TYPE])
    return found


def fetch_by_id(
    connection: psycopg.Connection, event_ids: Sequence[bytes], microseconds: Sequence[int]
) -> Iterator[KnownRow]:
    """Rows of the table with these event ids, at these times or a day beside."""
    if not event_ids:
        return
    # A day more on each side: a row whose time was edited a little is found, and shown as different.
    first, last = from_microseconds(min(microseconds)), from_microseconds(max(microseconds))
    parameters = (_join_ids(event_ids), first - timedelta(days=1), last + timedelta(days=1))
    with connection.cursor(binary=True) as cursor:
        yield from map(_read_row, cursor.execute(_SELECT + _HAS_ID, parameters))


def fetch_by_own_id(connection: psycopg.Connection, staged: StagedRows) -> list[KnownRow]:
    """Rows of the table with the source's own ids of these staged rows, whatever their time."""
    own_ids: dict[str, list[str]] = {}
    for tenant, own_id in zip(
        staged.table["tenant"].to_pylist(), staged.table["source_event_id"].to_pylist(), strict=True
    ):
        if own_id is not None:
            own_ids.setdefault(tenant, []).append(own_id)
    found: list[KnownRow] = []
    for tenant, ids in own_ids.items():
        with connection.cursor(binary=True) as cursor:
            found.extend(map(_read_row, cursor.execute(_SELECT + _HAS_OWN_ID, (staged.source, tenant, ids))))
    return found


def holds_own_ids(connection: psycopg.Connection, source: str) -> bool:
    """True when some row of that source has the source's own id."""
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM analytics_events WHERE source = %s AND source_event_id IS NOT NULL)", (source,)
    ).fetchone()
    return bool(row and row[0])


def ask_table(
    connection: psycopg.Connection, staged: StagedRows, asks_ids: bool = True, asks_own_ids: bool = True
) -> Verdict:
    """Tell new rows from duplicates (same content) and conflicts (same id or own id, other content or time)."""
    by_id = fetch_digests(connection, staged) if asks_ids else {}
    by_own_id = fetch_by_own_id(connection, staged) if asks_own_ids and staged.has_own_ids else []
    return compare_rows(connection, staged, by_id, by_own_id)


def compare_rows(
    connection: psycopg.Connection,
    staged: StagedRows,
    by_id: dict[bytes, KnownDigest],
    by_own_id: Iterable[KnownRow],
) -> Verdict:
    """Give the verdict on staged rows from what was found; fetches whole only the rows that are contradicted."""
    verdict = Verdict()
    known = {row.event_id.bytes: row for row in by_own_id}
    own_ids = {(row.values["tenant"], row.values["source_event_id"]): row for row in known.values()}
    claims = _claims(staged) if own_ids else [None] * len(staged)
    contradicted: list[int] = []
    for index, (event_id, content_hash, claim) in enumerate(zip(staged.ids, staged.hashes, claims, strict=True)):
        match = by_id.get(event_id) or known.get(event_id) or own_ids.get(claim)  # type: ignore[arg-type]  # None is none
        if match is None:
            verdict.new.append(index)
        elif match.content_hash == content_hash:
            verdict.duplicates.append(index)
        elif isinstance(match, KnownRow):
            verdict.conflicts.append(_contradict(staged, index, match))
        else:
            contradicted.append(index)
    whole = staged.take(contradicted)
    rows = {r.event_id.bytes: r for r in fetch_by_id(connection, whole.ids, whole.microseconds.tolist())}
    found = [_contradict(staged, n, rows[staged.ids[n]]) for n in contradicted if staged.ids[n] in rows]
    verdict.conflicts = sorted(verdict.conflicts + found, key=lambda conflict: conflict.row)
    return verdict


def _claims(staged: StagedRows) -> list[tuple[str, str] | None]:
    pairs = zip(staged.table["tenant"].to_pylist(), staged.table["source_event_id"].to_pylist(), strict=True)
    return [(tenant, own_id) if own_id is not None else None for tenant, own_id in pairs]


def _contradict(staged: StagedRows, index: int, known: KnownRow) -> Contradiction:
    return Contradiction(index, known, diff_rows(known.values, staged.values(index)))


def _join_ids(ids: Sequence[bytes]) -> str:
    return "{" + ",".join([event_id.hex() for event_id in ids]) + "}"


def _canonical(payload: str | None) -> bytes:
    try:
        return encode_value(decode_value(payload or "{}"))
    except (RecordError, msgspec.DecodeError):  # nothing of ours: numbers longer than any format may bring in
        return encode_value({"unreadable": (payload or "")[:200]})


def _read_row(row: tuple[Any, ...]) -> KnownRow:
    event_id, created_at, chunk_id, *fields, payload_text = row
    payload = _canonical(payload_text)
    content_hash = hash_fields(to_microseconds(created_at), fields, payload)
    values = dict(zip(COMPARED_FIELDS, (created_at, *fields, payload.decode()), strict=True))
    return KnownRow(event_id, created_at, chunk_id, content_hash, values)
