"""The stage of local mode: the project's own endpoint and store, teams of its own, and nothing left afterwards."""

import contextlib
import ipaddress
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import psycopg

from hindcast.acceptance.endpoint import served_capture
from hindcast.acceptance.events import DatabaseEvents, StoredEvent
from hindcast.acceptance.outcome import CheckFailed, require
from hindcast.acceptance.request import CaptureRequest
from hindcast.acceptance.teams import Removed, Team, find_left_behind, make_team, remove_teams, require_nothing
from hindcast.capture.app import PATH
from hindcast.database import connect, describe_url, require_schema, target_url
from hindcast.errors import ConfigurationError
from hindcast.objects.store import ObjectStore, open_store
from hindcast.objects.teams import TeamReader
from hindcast.settings import Settings

_LONGEST_ANSWER_SECONDS = 120.0


class LocalStage:
    """An endpoint that is being served, what is behind it, and the teams of this run. Thread-safe but for `events`."""

    def __init__(
        self, settings: Settings, url: str, store: ObjectStore, address: str, connection: psycopg.Connection
    ) -> None:
        self.settings, self.url, self.store, self.address = settings, url, store, address
        self.connection = connection
        self.events = DatabaseEvents(connection)
        self._client = httpx.Client(base_url=address, timeout=_LONGEST_ANSWER_SECONDS, trust_env=False)
        self._run = uuid4().hex
        self._teams: list[str] = []
        self._lock = threading.Lock()

    def describe(self) -> str:
        """The endpoint, the database, the store."""
        return f"{self.address}{PATH}, database {describe_url(self.url)}, objects in {self.store}"

    def make_team(self) -> Team:
        """A team of this run that has nothing yet."""
        with self._lock:
            team = make_team(self.connection, self._run)
            self._teams.append(team.team)
        return team

    def reader(self, team: Team) -> TeamReader:
        """What a team sees of the store."""
        return TeamReader(self.store, team.team)

    def send(
        self, team: Team, request: CaptureRequest, address: str | None = None, **headers: str | None
    ) -> httpx.Response:
        """Send a request as a team, to another endpoint if one is given; a header of None is left out."""
        sent: dict[str, str | None] = {"Authorization": f"Bearer {team.token}", **request.headers(), **headers}
        return self._client.post(
            f"{address or self.address}{PATH}",
            content=request.body(),
            headers={name: value for name, value in sent.items() if value is not None},
        )

    def ask(self, method: str) -> httpx.Response:
        """Another method on the capture route."""
        return self._client.request(method, PATH)

    def keep(self, team: Team, request: CaptureRequest) -> StoredEvent:
        """Send a request that must be accepted, every part listed in order; returns the event that is stored then."""
        answer = self.send(team, request)
        require(answer.status_code == 200, f"answered {answer.status_code}, expected 200: {answer.text[:200]}")
        expected = [
            {
                "name": part.name,
                "length": len(payload.data)
                if (payload := request.payloads.get(_property(part.name)))
                else len(part.data),
                "content-type": part.content_type,
                "content-encoding": part.content_encoding or None,
            }
            for part in request.parts
        ]
        require(answer.json() == {"accepted_parts": expected}, "accepted_parts are not the parts that were sent")
        return self.find(team, request)

    def find(self, team: Team, request: CaptureRequest) -> StoredEvent:
        """The stored event of a request; raises CheckFailed when it is not there."""
        event = self.events.find(request.uuid, team.team)
        if event is None:
            raise CheckFailed(f"event {request.uuid}: answered with 200, and not in the database")
        return event

    def require_nothing_of(self, team: Team, request: CaptureRequest) -> None:
        """Raise CheckFailed when a refused request left anything."""
        require(self.events.find(request.uuid, team.team) is None, f"event {request.uuid}: refused, and stored")
        left = [found.key for found in self.reader(team).list() if found.key.endswith(f"/{request.uuid}")]
        require(not left, f"event {request.uuid}: refused, and its object is stored")

    def clean_up(self) -> str:
        """Remove every team of this run, and look again; raises CheckFailed when anything is left. Safe to repeat."""
        with self._lock:
            removed = remove_teams(self.connection, self.store, self._teams)
            require_nothing(self.connection, self.store, self._teams)
        require(
            not removed.missing,
            f"removed {removed}; {removed.missing:,} objects that the endpoint noted are not in {self.store}: it keeps"
            " them elsewhere; `hindcast objects sweep --unlisted` with its settings removes them",
        )
        return f"removed {removed}; nothing is left of {len(self._teams)} teams"

    def close(self) -> None:
        """Close the connections to the endpoint."""
        self._client.close()


@contextlib.contextmanager
def local_stage(settings: Settings) -> Iterator[LocalStage]:
    """The stage that the settings ask for: CAPTURE_ENDPOINT if it is set, else an endpoint of our own."""
    url = target_url(settings)
    store = open_store(settings)
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(connect(url, settings))
        require_schema(connection)
        sweep_left_behind(connection, store)
        if settings.capture_endpoint:
            address = require_loopback(settings.capture_endpoint)
        else:
            address = stack.enter_context(served_capture(settings, url, store))
        stage = LocalStage(settings, url, store, address, connection)
        stack.callback(stage.close)
        yield stage


def sweep_left_behind(connection: psycopg.Connection, store: ObjectStore) -> Removed:
    """Remove what killed runs left."""
    teams = find_left_behind(connection)
    return remove_teams(connection, store, teams) if teams else Removed()


def require_loopback(address: str) -> str:
    """An endpoint's address without its path; raises ConfigurationError for another machine's, for we write to it."""
    parts = urlsplit(address)
    try:
        is_ours = parts.hostname == "localhost" or ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        is_ours = False
    if parts.scheme not in ("http", "https") or not is_ours:
        raise ConfigurationError(
            f"CAPTURE_ENDPOINT: {parts.hostname or ''!r} is not this machine; local mode writes, and only to"
            " http://127.0.0.1:<port>: unset it, or use --mode production, which only reads"
        )
    return f"{parts.scheme}://{parts.netloc}"


def _property(part: str) -> str:
    return part.removeprefix("event.properties.")
