"""A Prefect server for the session, and flows run against it with a database of the test's own."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import httpx
import pytest

from flows.environment import prepare_prefect
from flows.prefect_tables import make_tables
from hindcast.pool import shared_pool
from hindcast.settings import Settings

PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a real server with its own PREFECT_HOME, on a free port of this machine; flows here use it too."""
    home = tmp_path_factory.mktemp("prefect")
    before = dict(os.environ)
    for name in [name for name in before if name.startswith("PREFECT_")]:
        del os.environ[name]  # the developer's own Prefect is left alone
    prepare_prefect(Settings(home=home), is_verbose=False)
    make_tables(Path(os.environ["PREFECT_HOME"]))
    # By default the scheduler looks once a minute; every second, it takes a tenth of a core.
    os.environ["PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS"] = "5"
    port = _free_port()
    url = f"http://127.0.0.1:{port}/api"
    command = [
        sys.executable,
        "-m",
        "prefect",
        "server",
        "start",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--no-ui",
    ]
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=home, start_new_session=True)
    try:
        os.environ["PREFECT_API_URL"] = url
        _import_meanwhile()
        _await_ready(server, url, home / "server.log")
        with _client_settings(url):
            yield url
    finally:
        os.environ.clear()
        os.environ.update(before)
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@pytest.fixture(scope="session")
def worker_pools() -> Iterator[ExitStack]:
    """What ends the worker processes with the session: starting them takes longer than most of these runs."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def database(
    target: str, prefect_api: str, worker_pools: ExitStack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> str:
    """URL of the empty migrated database that flows will take for their target."""
    worker_pools.enter_context(shared_pool(1))  # the one of the test before, unless a run failed and stopped it
    monkeypatch.setenv("DATABASE_URL", target)
    monkeypatch.setenv("HINDCAST_WORKERS", "1")
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    monkeypatch.chdir(tmp_path)  # away from any .env
    return target


def _import_meanwhile() -> None:
    """What the flows need, imported while the server starts: each takes seconds."""
    import flows.backfill  # noqa: F401
    from expectations.engine import load_great_expectations

    load_great_expectations()


def _client_settings(url: str) -> AbstractContextManager[object]:
    import prefect.settings as names

    return names.temporary_settings(
        {
            names.PREFECT_API_URL: url,
            names.PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,  # its thread takes a second to join, each flow
            names.PREFECT_LOGGING_TO_API_ENABLED: False,  # the last logs are sent when the server is gone
        }
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_ready(server: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + 90
    while True:
        assert server.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
        try:
            if httpx.get(f"{url}/ready", timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
