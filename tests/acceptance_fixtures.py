"""Stages of acceptance for tests, over the test's own database."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from accepting import MakeStage, QueryServer

from hindcast.acceptance.endpoint import served_capture
from hindcast.acceptance.local import LocalStage
from hindcast.database import connect
from hindcast.objects.local import LocalStore
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
