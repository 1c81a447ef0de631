"""A Prefect server for the session, and flows run against it with a database of the test's own."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from flows.environment import prepare_prefect
from hindcast.settings import Settings

PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a real server with its own PREFECT_HOME, on a free port of this machine; flows here use it too."""
    home = tmp_path_factory.mktemp("prefect")
    before = dict(os.environ)
    prepare_prefect(Settings(home=home), is_verbose=False)
    # By default the scheduler looks once a minute.
    os.environ["PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS"] = "1"
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
        _await_ready(server, url, home / "server.log")
        os.environ["PREFECT_API_URL"] = url
        from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

        # The heartbeat's thread takes a second to join, each flow.
        with temporary_settings({PREFECT_API_URL: url, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
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


@pytest.fixture
def database(target: str, prefect_api: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """URL of the empty migrated database that flows will take for their target."""
    monkeypatch.setenv("DATABASE_URL", target)
    monkeypatch.setenv("HINDCAST_WORKERS", "1")
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    monkeypatch.chdir(tmp_path)  # away from any .env
    return target


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
