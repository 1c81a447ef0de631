"""Derived events among archived rows: a key that has another event by now keeps that one, and not both."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

import psycopg
from psycopg import sql

from hindcast.archive import ArchivedChunk

_FROM_GIVEN: Final = sql.SQL(
    " FROM unnest(%(keys)s::uuid[], %(ids)s::uuid[], %(times)s::timestamptz[]) AS n (derived_key, event_id, created_at)"
)
# OFFSET 0 keeps it a look-up by key.
_SUPERSEDED: Final = (
    sql.SQL("SELECT n.event_id")
    + _FROM_GIVEN
    + sql.SQL(
        " INNER JOIN derived_keys AS k ON k.derived_key = n.derived_key"
        " WHERE k.event_id <> n.event_id AND EXISTS (SELECT FROM analytics_events AS e"
        " WHERE e.event_id = k.event_id AND e.created_at = k.created_at OFFSET 0)"
    )
)
_REMEMBER: Final = (
    sql.SQL("UPDATE derived_keys AS k SET event_id = n.event_id, created_at = n.created_at")
    + _FROM_GIVEN
    + sql.SQL(" WHERE k.derived_key = n.derived_key AND NOT n.event_id = ANY(%(superseded)s::uuid[])")
)


@dataclass(frozen=True)
class DerivedRows:
    """The archived rows of a chunk that are events made once a key."""

    keys: list[UUID]
    ids: list[str]
    times: list[str]

    def superseded(self, connection: psycopg.Connection) -> list[UUID]:
        """Event ids of those whose key has another event in the table now."""
        if not self.keys:
            return []
        return [event_id for (event_id,) in connection.execute(_SUPERSEDED, self._given())]

    def remember(self, connection: psycopg.Connection, superseded: list[UUID]) -> None:
        """Note that the keys of the others are these events' again."""
        if self.keys:
            connection.execute(_REMEMBER, self._given() | {"superseded": superseded})

    def _given(self) -> dict[str, object]:
        return {"keys": self.keys, "ids": self.ids, "times": self.times}


def find_derived(chunk: ArchivedChunk) -> DerivedRows:
    """Those of a chunk's rows whose own id is `<event type>:<key>`; of other sources they are in no memory."""
    found = DerivedRows([], [], [])
    columns = (chunk.values(name) for name in ("source_event_id", "event_type", "event_id", "created_at"))
    for own_id, event_type, event_id, created_at in zip(*columns, strict=True):
        if own_id is None or not own_id.startswith(f"{event_type}:"):
            continue
        try:
            key = UUID(own_id.removeprefix(f"{event_type}:"))
        except ValueError:
            continue
        found.keys.append(key)
        found.ids.append(event_id)
        found.times.append(created_at)
    return found
