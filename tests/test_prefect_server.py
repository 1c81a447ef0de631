"""Prefect's server stays for the next command, is found again, and ends by itself; a stand-in answers for it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows import prefect_server, private_server
from flows.prefect_server import USERS, Watch, began_at, describe, list_users, read_description
from hindcast.errors import HindcastError
from hindcast.settings import load_settings

STAND_IN = """
import http.server, json, sys, threading, time
from pathlib import Path
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"true")
    def log_message(self, *_): pass
folder = Path(sys.argv[3])
def watch():
    while (folder / "server.json").exists(): time.sleep(0.05)
    server.shutdown()
server = http.server.HTTPServer((sys.argv[1], int(sys.argv[2])), Answer)
if float(sys.argv[4]): threading.Thread(target=watch, daemon=True).start()
server.serve_forever()
"""


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / USERS).mkdir()
    describe(tmp_path, os.getpid(), api_url="x")
    return tmp_path


def use(folder: Path, pid: int) -> Path:
    path = folder / USERS / str(pid)
    path.write_text(str(began_at(pid)))
    return path


def test_it_ends_when_nobody_used_it_for_so_long(folder: Path) -> None:
    clock = Clock()
    watch = Watch(folder, os.getpid(), 10, clock)
    clock.now = 599
    assert not watch.is_over()
    clock.now = 601
    assert watch.is_over() and read_description(folder) is None


def test_it_stays_while_a_command_uses_it_and_counts_from_there(
    folder: Path, sleeper: "subprocess.Popen[bytes]"
) -> None:
    clock = Clock()
    watch = Watch(folder, os.getpid(), 10, clock)
    use(folder, sleeper.pid)
    clock.now = 10_000
    assert not watch.is_over() and list_users(folder) == [sleeper.pid]
    sleeper.kill()
    sleeper.wait()
    clock.now = 10_599
    assert not watch.is_over() and not [*(folder / USERS).iterdir()]
    clock.now = 10_601
    assert watch.is_over()


def test_a_pid_that_is_somebody_elses_by_now_is_no_user(folder: Path) -> None:
    (folder / USERS / str(os.getpid())).write_text(str(began_at(os.getpid()) - 100))
    (folder / USERS / "x").write_text("y")
    assert list_users(folder) == []


def test_it_ends_at_once_when_another_took_its_place_or_the_folder_is_gone(
    folder: Path, sleeper: "subprocess.Popen[bytes]"
) -> None:
    watch = Watch(folder, os.getpid(), 10, Clock())
    describe(folder, sleeper.pid)
    assert watch.is_over() and read_description(folder)
    (folder / prefect_server.DESCRIPTION).unlink()
    assert watch.is_over()


def test_a_command_that_came_while_it_was_ending_keeps_it(
    folder: Path, sleeper: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    watch = Watch(folder, os.getpid(), 1, clock)
    clock.now = 100
    looks = [[], [sleeper.pid]]
    monkeypatch.setattr(prefect_server, "list_users", lambda folder: looks.pop(0))
    assert not watch.is_over() and read_description(folder)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home whose server is the stand-in; what runs is ended."""
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN)
    home = tmp_path / "home"
    for name, value in {"PREFECT_HOME": str(home / "prefect"), "HINDCAST_HOME": str(home)}.items():
        monkeypatch.setenv(name, value)
    for name in ("PREFECT_API_URL", "PREFECT_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(prefect_server, "__file__", str(script))
    monkeypatch.setattr(private_server, "_stop_heartbeats", lambda: None)
    yield home
    private_server.stop_private_server()
    (home / "prefect" / prefect_server.DESCRIPTION).unlink(missing_ok=True)
    for child in psutil.Process().children():
        if child.status() == psutil.STATUS_ZOMBIE or str(script) in child.cmdline():
            child.kill()
            child.wait()
    os.environ.pop("PREFECT_API_URL", None)


def run_command(minutes: float) -> str:
    """What a command does with its server; returns the server's address."""
    os.environ.pop("PREFECT_API_URL", None)
    private_server.start_private_server(load_settings().model_copy(update={"prefect_minutes": minutes}))
    private_server.await_private_server()
    address = os.environ["PREFECT_API_URL"]
    private_server.stop_private_server()
    return address


def test_the_next_command_finds_the_server_of_the_last(home: Path) -> None:
    first = run_command(10)
    assert run_command(10) == first
    assert not [*(home / "prefect" / USERS).iterdir()]
    assert private_server.end_lasting_server(home) and private_server.end_lasting_server(home) is None


def test_with_0_minutes_the_server_ends_with_its_command(home: Path) -> None:
    first = run_command(0)
    assert read_description(home / "prefect") is None
    assert run_command(0) != first


def test_a_server_that_was_killed_or_has_other_settings_is_not_used(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_command(10)
    monkeypatch.setenv("PREFECT_SERVER_LOGGING_LEVEL", "DEBUG")
    second = run_command(10)
    found = read_description(home / "prefect")
    assert second != first and found
    psutil.Process(found["pid"]).kill()
    deadline = time.monotonic() + 10
    while read_description(home / "prefect") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert run_command(10) not in (first, second)


def test_a_server_in_use_is_not_stopped(home: Path, sleeper: "subprocess.Popen[bytes]") -> None:
    run_command(10)
    use(home / "prefect", sleeper.pid)
    with pytest.raises(HindcastError, match=f"used by process {sleeper.pid}"):
        private_server.end_lasting_server(home)


def test_the_description_is_json_with_the_address(home: Path) -> None:
    address = run_command(10)
    assert json.loads((home / "prefect" / prefect_server.DESCRIPTION).read_text())["api_url"] == address
