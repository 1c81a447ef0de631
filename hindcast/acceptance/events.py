"""Reading captured events back: from the project's own database, or from a PostHog-like query API."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import httpx
import psycopg

from hindcast.acceptance.outcome import CheckFailed
from hindcast.errors import HindcastError
from hindcast.llm_events import BLOB_NAMES, SOURCE
from hindcast.times import parse_time

_SELECT: Final = (
    "SELECT source_event_id, event_type, user_id, created_at, payload, tenant FROM analytics_events"
    " WHERE source = %s AND tenant = %s AND source_event_id = ANY(%s) ORDER BY source_event_id, created_at"
)
_COLUMNS: Final = "SELECT uuid, event, distinct_id, timestamp, properties FROM events"
_BY_UUID: Final = f"{_COLUMNS} WHERE uuid = {{uuid}} LIMIT 2"  # constants; the API fills in the values
# The names are ours, and inlined: only single values are filled in by the API.
_TYPES: Final = ", ".join(f"'{name}'" for name in BLOB_NAMES)
_RECENT: Final = (
    f"{_COLUMNS} WHERE event IN ({_TYPES}) AND timestamp >= toDateTime({{since}})"  # constants
    " ORDER BY timestamp DESC LIMIT "
)


class QueryRefused(HindcastError):
    """The query API refused, or answered something else than rows. `status` is 0 when it did not answer."""

    def __init__(self, sentence: str, status: int = 0) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True)
class StoredEvent:
    """An event as it is stored. In production mode the team is the one whose key asked."""

    uuid: str
    event: str
    distinct_id: str
    occurred_at: datetime
    properties: Mapping[str, Any]
    team: str

    @property
    def references(self) -> dict[str, str]:
        """The properties whose values are elsewhere, and where."""
        return {
            name: value
            for name, value in self.properties.items()
            if isinstance(value, str) and value.startswith("s3://")
        }


class DatabaseEvents:
    """Events of the project's own PostgreSQL."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def find(self, uuid: str, team: str) -> StoredEvent | None:
        """The event of a team with this uuid; raises CheckFailed when there is more than one."""
        found = self.find_all([uuid], team)
        if len(found) > 1:
            raise CheckFailed(f"event {uuid}: {len(found)} rows, expected one")
        return found[0] if found else None

    def find_all(self, uuids: Sequence[str], team: str) -> list[StoredEvent]:
        """The rows of a team with these uuids."""
        rows = self._connection.execute(_SELECT, (SOURCE, team, [uuid.lower() for uuid in uuids]))
        return [StoredEvent(*row) for row in rows]


class QueryApi:
    """`POST {host}/api/projects/{id}/query` with a personal key, as PostHog has it. Reads only."""

    def __init__(self, client: httpx.Client, url: str, key: str, team: str) -> None:
        self._client, self.url, self._key, self._team = client, url, key, team

    def find(self, uuid: str) -> StoredEvent | None:
        """The event with this uuid."""
        found = self._read(_BY_UUID, {"uuid": str(UUID(uuid))})
        if len(found) > 1:
            raise CheckFailed(f"event {uuid}: {len(found)} rows, expected one")
        return found[0] if found else None

    def recent(self, since: datetime, limit: int) -> list[StoredEvent]:
        """The latest LLM events, newest first."""
        return self._read(_RECENT + str(int(limit)), {"since": since.strftime("%Y-%m-%d %H:%M:%S")})

    def ask(self, query: str, values: Mapping[str, Any], key: str | None) -> httpx.Response:
        """Send a HogQL query with a key, or with none; the answer as it came."""
        body = {"query": {"kind": "HogQLQuery", "query": query, "values": dict(values)}}
        headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
        return self._client.post(self.url, json=body, headers=headers)

    def probe(self, key: str | None) -> int:
        """The status of the smallest query, with a key or with none."""
        return self.ask("SELECT 1", {}, key).status_code

    def _read(self, query: str, values: Mapping[str, Any]) -> list[StoredEvent]:
        answer = self.ask(query, values, self._key)
        if answer.status_code != 200:
            raise QueryRefused(
                f"{self.url}: answered {answer.status_code}; check POSTHOG_HOST, POSTHOG_PROJECT_ID and that"
                " POSTHOG_API_KEY is a personal key that may read queries",
                answer.status_code,
            )
        try:
            return [self._read_row(row) for row in answer.json()["results"]]
        except (ValueError, KeyError, TypeError, HindcastError) as error:
            raise QueryRefused(f"{self.url}: rows expected, another answer came ({type(error).__name__})") from None

    def _read_row(self, row: Sequence[Any]) -> StoredEvent:
        uuid, event, distinct_id, timestamp, properties = row
        decoded = json.loads(properties) if isinstance(properties, str) else properties
        if not isinstance(decoded, dict):
            raise ValueError("properties are no object")
        return StoredEvent(str(uuid), str(event), str(distinct_id), parse_time(timestamp)[0], decoded, self._team)
