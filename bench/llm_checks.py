"""What must hold of LLM events and their objects, found out from the table and the store themselves."""

import hashlib
import json
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from hindcast.objects.store import ObjectStore, read_object

Values = dict[tuple[str, str], set[str]]  # sha256 of a large value, by the uuid of its event and its property


class Violation(Exception):
    """Something that must hold does not; says what was found."""


@dataclass
class Looked:
    """How much was looked at."""

    events: int = 0
    ranges: int = 0
    size_bytes: int = 0
    keys: set[str] = field(default_factory=set)


def read_values(path: Path) -> Values:
    """The generator's own account of the large values of an export."""
    values: Values = {}
    with path.open(encoding="utf-8") as file:
        for line in file:
            found = json.loads(line)
            values.setdefault((found["uuid"], found["property"]), set()).add(found["sha256"])
    return values


def check_references(url: str, store: ObjectStore, values: Values, answered: AbstractSet[str]) -> Looked:
    """Every reference of every event reads back to its source's bytes, and every answered event is there.

    `answered` are the uuids of events answered with 200. Raises Violation.
    """
    looked = Looked()
    seen = set()
    with psycopg.connect(url) as connection, connection.cursor(name="events") as cursor:
        cursor.execute("SELECT source_event_id, payload FROM analytics_events")
        for uuid, payload in cursor:
            looked.events += 1
            seen.add(uuid)
            for name, reference in _references(payload):
                key, first, last = _split(reference)
                try:
                    part = read_object(store, key, first, last)
                except FileNotFoundError:
                    raise Violation(f"event {uuid}: its object {key} is not there") from None
                body = part.partition(b"\r\n\r\n")[2]
                if (uuid, name) not in values:
                    raise Violation(f"event {uuid}: {name} is a large value that nobody sent")
                if hashlib.sha256(body).hexdigest() not in values[uuid, name]:
                    raise Violation(f"event {uuid}: {name} reads back as {len(body)} other bytes")
                looked.ranges += 1
                looked.size_bytes += len(body)
                looked.keys.add(key)
    lost = answered - seen
    if lost:
        raise Violation(f"{len(lost)} events answered with 200 are not in the table, such as {min(lost)}")
    return looked


def check_nothing_else(url: str, store: ObjectStore, keys: set[str]) -> None:
    """The store and its ledger have the objects of the events, and no other; raises Violation."""
    listed = {found.key for found in store.list()}
    if listed != keys:
        raise Violation(f"{len(listed - keys)} objects without an event, {len(keys - listed)} that are not there")
    with psycopg.connect(url) as connection:
        noted: dict[str, str] = dict(connection.execute("SELECT key, state FROM llm_objects").fetchall())
    if set(noted) != keys or set(noted.values()) - {"committed"}:
        raise Violation(f"the ledger has {len(noted)} objects for {len(keys)}, in states {sorted(set(noted.values()))}")


def digest_events(url: str, team: str) -> str:
    """A digest of a team's rows, whatever their order and their run."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*), md5(string_agg(md5(concat_ws('|', event_id, created_at, event_type, user_id, tenant,"
            " source_event_id, payload)), '' ORDER BY event_id)) FROM analytics_events WHERE tenant = %s",
            (team,),
        ).fetchone()
    assert row
    return f"{row[0]} rows {row[1]}"


def digest_objects(store: ObjectStore, prefix: str) -> str:
    """A digest of keys and bytes below a prefix."""
    digest, count = hashlib.sha256(), 0
    for found in store.list(prefix):
        digest.update(f"{found.key} {hashlib.sha256(read_object(store, found.key)).hexdigest()}\n".encode())
        count += 1
    return f"{count} objects {digest.hexdigest()}"


def _references(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _references(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item, name)
    elif isinstance(value, str) and value.startswith("s3://") and "?range=" in value:
        yield name, value


def _split(reference: str) -> tuple[str, int, int]:
    place, _, reach = reference.removeprefix("s3://").partition("?range=")
    first, _, last = reach.partition("-")
    return place.partition("/")[2], int(first), int(last)
