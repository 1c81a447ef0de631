"""Which of some staged rows the table already holds, and whether it says the same about them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa
from psycopg import sql

from hindcast.canonical import decode_value, encode_value, is_canonical_form
from hindcast.conflicts import COMPARED_FIELDS, diff_rows
from hindcast.errors import RecordError
from hindcast.event import CONTENT_FIELDS, hash_fields
from hindcast.kernel import has_kernel
from hindcast.kernel_match import EQUAL, NO_CHUNK, SELECT_SENT, UNDECIDED, KernelMatches
from hindcast.staged_rows import StagedRows, to_matrix
from hindcast.times import from_microseconds, to_microseconds

_CONTENT: Final = sql.SQL(", ").join(map(sql.Identifier, CONTENT_FIELDS))
_SELECT: Final = sql.SQL(
    "SELECT event_id, created_at, import_chunk_id, {}, payload::text FROM analytics_events WHERE "
).format(_CONTENT)
# Ids and times as bytes: psycopg reads those in C, and makes no object of a class for each.
_SELECT_RAW: Final = sql.SQL(
    "SELECT uuid_send(event_id), import_chunk_id, payload::text, timestamptz_send(created_at), {}"
    " FROM analytics_events WHERE "
).format(_CONTENT)
_HAS_ID: Final = sql.SQL("event_id = ANY(%s::uuid[]) AND created_at >= %s AND created_at <= %s")
_HAS_OWN_ID: Final = sql.SQL("source = %s AND tenant = %s AND source_event_id = ANY(%s)")
_POSTGRES_EPOCH_MICROSECONDS: Final = 946_684_800_000_000  # 2000-01-01


@dataclass(frozen=True, slots=True)
class KnownRow:
    """A row of the table and the digest of what it says now; in `values` the payload is canonical JSON."""

    event_id: UUID
    created_at: datetime
    import_chunk_id: int | None
    content_hash: bytes
    values: dict[str, Any]


@dataclass
class Matches:
    """Rows of the table with the ids of staged rows, by the staged rows' indexes.

    Where `is_equal`, a row says the same in every field, and `owners` has its import_chunk_id (NO_CHUNK: it has none);
    `differing` rows do not.
    """

    is_equal: npt.NDArray[np.bool_]
    owners: npt.NDArray[np.int64]
    differing: dict[int, KnownRow] = field(default_factory=dict)

    @classmethod
    def none(cls, count: int) -> "Matches":
        """No row found for any of so many."""
        return cls(np.zeros(count, np.bool_), np.full(count, NO_CHUNK))

    @property
    def absent(self) -> list[int]:
        """Staged rows that the table has no row for."""
        is_absent = ~self.is_equal
        is_absent[list(self.differing)] = False
        return list(np.flatnonzero(is_absent).tolist())


@dataclass(frozen=True)
class Contradiction:
    """A staged row (by its index) and the row of the table that it contradicts."""

    row: int
    known: KnownRow
    fields: dict[str, list[Any]]


@dataclass
class Verdict:
    """Staged rows by what the table says of them; rows are indexes. `matches` are those by id."""

    matches: Matches
    new: list[int] = field(default_factory=list)
    duplicates: list[int] = field(default_factory=list)
    conflicts: list[Contradiction] = field(default_factory=list)


def match_rows(connection: psycopg.Connection, staged: StagedRows) -> Matches:
    """Compare staged rows with the table's rows of the same ids, within the months of the staged ones."""
    if not has_kernel():
        return _match_in_python(connection, staged, _by_month(staged))
    found = KernelMatches(staged)
    with connection.cursor(binary=True) as cursor:
        for condition in _by_month(staged):
            found.compare(cursor.execute(SELECT_SENT + _HAS_ID, condition))
    matches = Matches(found.states == EQUAL, found.owners)
    undecided = np.flatnonzero(found.states == UNDECIDED)
    if len(undecided):
        ids = _join_ids(staged.id_matrix[undecided])
        # Within the same times as before: what was found there is found again.
        again = [(ids, first, last) for _, first, last in _by_month(staged)]
        among = _match_in_python(connection, staged.take(undecided.tolist()), again)
        matches.is_equal[undecided], matches.owners[undecided] = among.is_equal, among.owners
        matches.differing = {int(undecided[place]): row for place, row in among.differing.items()}
    return matches


def _match_in_python(
    connection: psycopg.Connection, staged: StagedRows, conditions: Iterable[tuple[str, datetime, datetime]]
) -> Matches:
    matches = Matches.none(len(staged))
    places = {event_id: index for index, event_id in enumerate(staged.ids)}
    expected = _expect(staged)
    payloads = staged.table["payload"].cast(pa.binary()).to_pylist()
    with connection.cursor(binary=True) as cursor:
        for condition in conditions:
            cursor.execute(_SELECT_RAW + _HAS_ID, condition)
            for row in cursor.fetchall():
                index = places[row[0]]
                if row[3:] == expected[index] and is_canonical_form(row[2] or "{}", payloads[index]):
                    matches.is_equal[index] = True
                    matches.owners[index] = NO_CHUNK if row[1] is None else row[1]
                else:
                    matches.differing[index] = _read_raw_row(row)
    for index in [index for index in matches.differing if matches.is_equal[index]]:  # the id at another time, too
        del matches.differing[index]
    return matches


def _by_month(staged: StagedRows) -> Iterator[tuple[str, datetime, datetime]]:
    """Parameters of `_HAS_ID`, month by month: one late event would else have every id looked for everywhere."""
    for first, last, ids in staged.by_month():
        yield _join_ids(ids), from_microseconds(first), from_microseconds(last)


def fetch_by_id(
    connection: psycopg.Connection, event_ids: Sequence[bytes], microseconds: Sequence[int]
) -> Iterator[KnownRow]:
    """Rows of the table with these event ids, at these times or a day beside."""
    if not event_ids:
        return
    # A day more on each side: a row whose time was edited a little is found, and shown as different.
    first, last = from_microseconds(min(microseconds)), from_microseconds(max(microseconds))
    parameters = (_join_ids(to_matrix(list(event_ids))), first - timedelta(days=1), last + timedelta(days=1))
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


def fetch_own(connection: psycopg.Connection, source: str, tenant: str, own_id: str) -> list[KnownRow]:
    """Rows of the table with this own id of the source's, whatever their time."""
    with connection.cursor(binary=True) as cursor:
        return [_read_row(row) for row in cursor.execute(_SELECT + _HAS_OWN_ID, (source, tenant, [own_id]))]


def holds_some(connection: psycopg.Connection, staged: StagedRows, count: int = 20) -> bool:
    """True when the table has one of a few of the staged rows, spread over them, by id."""
    few = staged.take(list(range(0, len(staged), max(1, len(staged) // count))))
    query = sql.SQL("SELECT EXISTS (SELECT FROM analytics_events WHERE ") + _HAS_ID + sql.SQL(")")
    found = (connection.execute(query, condition).fetchone() for condition in _by_month(few))
    return any(row and row[0] for row in found)


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
    by_id = match_rows(connection, staged) if asks_ids else Matches.none(len(staged))
    by_own_id: list[KnownRow] = []
    if asks_own_ids and staged.has_own_ids:  # what is there as it is needs no second question
        unequal = staged.where(~by_id.is_equal)
        by_own_id = fetch_by_own_id(connection, unequal) if unequal.has_own_ids else []
    return compare_rows(staged, by_id, by_own_id)


def compare_rows(staged: StagedRows, by_id: Matches, by_own_id: Iterable[KnownRow]) -> Verdict:
    """Give the verdict on staged rows from what was found."""
    verdict = Verdict(by_id, duplicates=np.flatnonzero(by_id.is_equal).tolist())
    known = {row.event_id.bytes: row for row in by_own_id}
    if not known and not by_id.differing:
        verdict.new = by_id.absent
        return verdict
    own_ids = {(row.values["tenant"], row.values["source_event_id"]): row for row in known.values()}
    claims = _claims(staged) if own_ids else [None] * len(staged)
    for index, (event_id, claim) in enumerate(zip(staged.ids, claims, strict=True)):
        if by_id.is_equal[index]:
            continue
        match = by_id.differing.get(index) or known.get(event_id) or own_ids.get(claim)  # type: ignore[arg-type]  # None is none
        if match is None:
            verdict.new.append(index)
        elif match.content_hash == staged.hashes[index]:
            verdict.duplicates.append(index)
        else:
            verdict.conflicts.append(Contradiction(index, match, diff_rows(match.values, staged.values(index))))
    return verdict


def _expect(staged: StagedRows) -> list[tuple[Any, ...]]:
    """Time and content fields of staged rows as the server sends them."""
    sent = (staged.microseconds - _POSTGRES_EPOCH_MICROSECONDS).astype(">i8").tobytes()
    times = [sent[at : at + 8] for at in range(0, len(sent), 8)]
    columns = [
        [staged.source] * len(staged) if name == "source" else staged.table[name].to_pylist() for name in CONTENT_FIELDS
    ]
    return list(zip(times, *columns, strict=True))


def _claims(staged: StagedRows) -> list[tuple[str, str] | None]:
    pairs = zip(staged.table["tenant"].to_pylist(), staged.table["source_event_id"].to_pylist(), strict=True)
    return [(tenant, own_id) if own_id is not None else None for tenant, own_id in pairs]


def _join_ids(ids: npt.NDArray[np.uint8]) -> str:
    """A matrix of ids, a row each, as the text of an array of uuid."""
    digits = np.frombuffer(ids.tobytes().hex().encode(), np.uint8).reshape(-1, 32)
    with_commas = np.hstack([digits, np.full((len(digits), 1), ord(","), np.uint8)])
    return "{" + with_commas.tobytes()[:-1].decode() + "}"


def _canonical(payload: str | None) -> bytes:
    try:
        return encode_value(decode_value(payload or "{}"))
    except (RecordError, msgspec.DecodeError):  # nothing of ours: numbers longer than any format may bring in
        return encode_value({"unreadable": (payload or "")[:200]})


def _read_raw_row(row: tuple[Any, ...]) -> KnownRow:
    event_id, chunk_id, payload, sent_at, *fields = row
    microseconds = int.from_bytes(sent_at, signed=True) + _POSTGRES_EPOCH_MICROSECONDS
    return _read_row((UUID(bytes=event_id), from_microseconds(microseconds), chunk_id, *fields, payload))


def _read_row(row: tuple[Any, ...]) -> KnownRow:
    event_id, created_at, chunk_id, *fields, payload_text = row
    payload = _canonical(payload_text)
    content_hash = hash_fields(to_microseconds(created_at), fields, payload)
    values = dict(zip(COMPARED_FIELDS, (created_at, *fields, payload.decode()), strict=True))
    return KnownRow(event_id, created_at, chunk_id, content_hash, values)
