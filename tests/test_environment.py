"""Prefect's environment in our home, and what a killed command leaves there."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.environment import OWNER_VARIABLE, stop_orphans


def start_server_stand_in(home: Path, owner: int) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PREFECT_HOME": str(home), OWNER_VARIABLE: str(owner)}
    code = "import sys, time; sys.stdout.write('up'); sys.stdout.flush(); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.read(2) == b"up"
    process.stdout.close()
    return process


@pytest.fixture
def dead_pid() -> Iterator[int]:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    yield done.pid


def test_a_server_whose_owner_was_killed_is_stopped(tmp_path: Path, dead_pid: int) -> None:
    orphan = start_server_stand_in(tmp_path, dead_pid)
    assert stop_orphans(str(tmp_path)) == [orphan.pid]
    assert orphan.wait(10) != 0


def test_servers_of_other_homes_and_of_living_owners_are_left_alone(tmp_path: Path, dead_pid: int) -> None:
    others = [
        start_server_stand_in(tmp_path / "other", dead_pid),
        start_server_stand_in(tmp_path, os.getpid()),
    ]
    try:
        assert stop_orphans(str(tmp_path)) == []
        assert [process.poll() for process in others] == [None, None]
    finally:
        for process in others:
            process.kill()
            process.wait()
