"""Looks at and starts embedded servers from outside, apart from the code under test."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
from conftest import POSTGRES_VERSION

from hindcast.embedded import EmbeddedServer

PROJECT = Path(__file__).parents[1]
PYTHON_PATH = os.pathsep.join([str(PROJECT), *filter(None, sys.path)])
STARTER = (
    "import sys; from pathlib import Path; from hindcast.embedded import EmbeddedServer\n"
    "print(EmbeddedServer(Path(sys.argv[1]), int(sys.argv[2]), {'fsync': 'off'}).start().pid, flush=True)\n"
)


def ask(server: EmbeddedServer, query: str) -> str:
    with psycopg.connect(server.url()) as connection:
        return str(connection.execute(query).fetchone()[0])


def start_in_a_process(server: EmbeddedServer, then: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", STARTER + then, str(server.home), str(POSTGRES_VERSION)]
    environment = os.environ | {"PYTHONPATH": PYTHON_PATH}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True)


def processes_in(folder: Path) -> list[psutil.Process]:
    """Live processes that work in a folder, looked for apart from the code under test."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.cwd() == str(folder):
                found.append(process)
        except psutil.Error:
            continue
    return found


def has_ended(pid: int) -> bool:
    """Whether nothing of a process is left but perhaps what its parent has not asked for."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_true():
        assert time.monotonic() < deadline, "waited 30 s in vain"
        time.sleep(0.002)
