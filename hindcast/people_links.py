"""The table `identity_links`: which person each identifier belongs to, for good.

A link is written in the transaction of the chunk that needs it first, for all identifiers of its persons at once, and
never changes: so any order of chunks, any number of attempts and any later export give an event the same person.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg
import pyarrow as pa

from hindcast.event import CONTENT_FIELDS, Event, Identified, hash_fields, identify
from hindcast.people import WEAKEST_LINK, People, first_keys, list_kinds, load_people, make_key
from hindcast.staged_rows import StagedRows
from hindcast.times import from_microseconds

_SELECT: Final = (
    "SELECT uuid_send(identifier_key), universal_id FROM identity_links WHERE identifier_key = ANY(%s::uuid[])"
)
# In the order of the keys, so that two chunks wait for each other instead of blocking each other.
_INSERT: Final = (
    "INSERT INTO identity_links (identifier_key, tenant, kind, universal_id, confidence, first_seen)"
    " SELECT * FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::numeric[], %s::timestamptz[])"
    " AS l (identifier_key, tenant, kind, universal_id, confidence, first_seen)"
    " ORDER BY identifier_key ON CONFLICT (identifier_key) DO NOTHING"
)


def assign_people(
    connection: psycopg.Connection, folder: Path, staged: StagedRows, is_writing: bool = True
) -> StagedRows:
    """Give staged events the universal ids of their persons, remembering what is new; part of a transaction.

    When not writing, new persons get the ids that a load would give them. Rows of other formats
    are returned as they are.
    """
    kinds = list_kinds(staged.source)
    if not kinds or not len(staged):
        return staged
    own = _own_keys(staged, kinds)
    people = load_people(folder)
    persons = people.persons_of(set(own))
    links = _read_links(connection, [people.keys[n].tobytes() for n in _places(people, persons)])
    missing = _settle_unknown(people, persons, links, kinds)
    if missing and is_writing:
        _insert_links(connection, people, missing, kinds)
        links |= _read_links(connection, [people.keys[n].tobytes() for n in missing])
    else:
        links |= {people.keys[n].tobytes(): universal_id for n, universal_id in missing.items()}
    return _with_user_ids(staged, [links[key] for key in own])


def look_up_people(connection: psycopg.Connection, staged: StagedRows) -> tuple[StagedRows, int | None]:
    """Give staged events the universal ids that `identity_links` holds now, and count those that have none there.

    Rows of other formats are returned as they are, with None.
    """
    kinds = list_kinds(staged.source)
    if not kinds:
        return staged, None
    own = _own_keys(staged, kinds)
    links = _read_links(connection, set(own))
    found = [links.get(key) for key in own]
    return _with_user_ids(staged, found), found.count(None)


def identify_person(connection: psycopg.Connection, event: Event, source: str) -> Identified:
    """Identify an event, giving it the universal id that `identity_links` holds now, if there is one."""
    identified = identify(event, source)
    if list_kinds(source):
        kind, value = next(iter(event.payload["identifiers"].items()))
        key = make_key(event.tenant, kind, value)
        event.user_id = _read_links(connection, [key]).get(key)
        # The id of an event is what its record says, so it was made before anybody was looked up.
        identified.content_hash = identify(event, source).content_hash
    return identified


def _own_keys(staged: StagedRows, kinds: dict[str, float]) -> list[bytes]:
    table = staged.table
    return first_keys(table["tenant"].to_pylist(), table["payload"].to_pylist(), list(kinds))


def _places(people: People, persons: Sequence[int]) -> list[int]:
    return [n for person in persons for n in range(people.starts[person], people.starts[person + 1])]


def _read_links(connection: psycopg.Connection, keys: Iterable[bytes]) -> dict[bytes, str]:
    joined = "{" + ",".join(key.hex() for key in keys) + "}"
    with connection.cursor(binary=True) as cursor:
        return dict(cursor.execute(_SELECT, (joined,)).fetchall())


def _settle_unknown(
    people: People, persons: Sequence[int], links: dict[bytes, str], kinds: dict[str, float]
) -> dict[int, str]:
    """The universal id of each identifier that has none: its person's first known one, or the person's new id."""
    settled: dict[int, str] = {}
    for person in persons:
        places = range(int(people.starts[person]), int(people.starts[person + 1]))
        known = [(n, links.get(people.keys[n].tobytes())) for n in places]
        told = [found for n, found in known if found and kinds[people.kinds[n]] >= WEAKEST_LINK]
        chosen = told[0] if told else str(people.new_ids[places[0]].as_py())
        settled |= {n: chosen for n, found in known if not found}
    return settled


def _insert_links(
    connection: psycopg.Connection, people: People, missing: dict[int, str], kinds: dict[str, float]
) -> None:
    columns: tuple[list[Any], ...] = (
        [UUID(bytes=people.keys[n].tobytes()) for n in missing],
        [people.tenants[n] for n in missing],
        [people.kinds[n] for n in missing],
        list(missing.values()),
        [float(kinds[people.kinds[n]]) for n in missing],
        [from_microseconds(int(people.first_seen[n])) for n in missing],
    )
    connection.execute(_INSERT, columns)


def _with_user_ids(staged: StagedRows, user_ids: list[str | None]) -> StagedRows:
    """The rows with these user ids, and with the content hashes that follow from them."""
    table = staged.table
    table = table.set_column(table.schema.get_field_index("user_id"), "user_id", pa.array(user_ids, pa.string()))
    fields = [[staged.source] * len(staged) if name == "source" else table[name].to_pylist() for name in CONTENT_FIELDS]
    payloads = table["payload"].cast(pa.binary()).to_pylist()
    rows = zip(staged.microseconds.tolist(), zip(*fields, strict=True), payloads, strict=True)
    hashes = pa.array([hash_fields(*row) for row in rows], pa.binary(16))
    table = table.set_column(table.schema.get_field_index("content_hash"), "content_hash", hashes)
    return StagedRows(table.combine_chunks(), staged.source)
