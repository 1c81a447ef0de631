"""Stages of acceptance for tests, over the test's own database."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from accepting import MakeStage, QueryServer

from hindcast.acceptance.endpoint import served_capture
from hindcast.acceptance.local import LocalStage
from hindcast.acceptance.payloads import make_mixed
from hindcast.acceptance.request import build_request
from hindcast.database import connect
from hindcast.llm_events import BLOB_NAMES
from hindcast.objects.local import LocalStore
from hindcast.objects.s3 import S3Store
from hindcast.objects.store import ObjectStore
from hindcast.settings import load_settings


@pytest.fixture
def make_stage(configured: str) -> Iterator[MakeStage]:
    """Makes stages: the endpoint writes to one store, the checks look at another, which should be the same."""
    settings = load_settings()
    with ExitStack() as stack:

        def make(written: ObjectStore, looked_at: ObjectStore) -> LocalStage:
            address = stack.enter_context(served_capture(settings, configured, written))
            connection = stack.enter_context(connect(configured, settings))
            stage = LocalStage(settings, configured, looked_at, address, connection)
            stack.callback(stage.close)
            return stage

        yield make


@pytest.fixture
def stage(make_stage: MakeStage, tmp_path: Path) -> LocalStage:
    """A local stage over a folder."""
    store = LocalStore(tmp_path / "objects", "llma")
    return make_stage(store, store)


@pytest.fixture
def query_server(configured: str) -> Iterator[Callable[[str], QueryServer]]:
    """Starts query APIs for a team."""
    servers: list[tuple[QueryServer, threading.Thread]] = []

    def start(team: str) -> QueryServer:
        server = QueryServer(configured, team)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        servers.append((server, thread))
        return server

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def platform(
    make_stage: MakeStage, bucket: str, query_server: Callable[[str], QueryServer], monkeypatch: pytest.MonkeyPatch
) -> Iterator[QueryServer]:
    """A platform with events of one team, and the environment that production mode needs."""
    store = S3Store(bucket)
    stage = make_stage(store, store)
    team, other = stage.make_team(), stage.make_team()
    for number, kind in enumerate(BLOB_NAMES):
        payloads = {f"value_{n}": payload for n, payload in enumerate(make_mixed(number, number))}
        request = build_request(kind, payloads, frozenset(["value_1"]))
        assert stage.send(team, request).status_code == stage.send(other, request).status_code == 200
    server = query_server(team.team)
    for name, value in {
        "POSTHOG_HOST": f"{server.url}/",
        "POSTHOG_PROJECT_ID": "7",
        "POSTHOG_API_KEY": QueryServer.KEY,
        "POSTHOG_PROJECT_API_KEY": team.token,
        "CAPTURE_ENDPOINT": server.url,
        "LLMA_S3_BUCKET": bucket,
        "HINDCAST_ACCEPTANCE_DELAY_SECONDS": "0",
    }.items():
        monkeypatch.setenv(name, value)
    yield server
