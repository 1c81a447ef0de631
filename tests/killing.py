"""A process of its own that ends itself, without a word to the server, at one statement it sends."""

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from typing import Any

import psycopg
import undoing

import hindcast.month_tables

# Forked from one that has imported all: a second a process otherwise.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["hindcast.prune", "hindcast.restore", "hindcast.rollups", "hindcast.preview"])


def run_killed(call: str, arguments: tuple[Any, ...], at: int) -> int | None:
    """Call a function of `undoing` in a process killed before (odd) or after (even) its n-th statement.

    Returns the statements it sent when it came to its end before; None when it was killed.
    """
    here, there = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_call, args=(there, dict(os.environ), call, arguments, at))
    process.start()
    there.close()
    process.join()
    if process.exitcode == -signal.SIGKILL:
        return None
    assert process.exitcode == 0
    return int(here.recv())


def _call(told: Connection, environment: dict[str, str], call: str, arguments: tuple[Any, ...], at: int) -> None:
    os.environ.clear()  # the server was forked with that of an earlier test
    os.environ.update(environment)
    hindcast.month_tables._LARGE_BYTES = 0  # every month is watched
    count = [0]

    def patch(owner: type, name: str) -> None:
        whole = getattr(owner, name)

        def wrapped(*arguments: Any, **options: Any) -> Any:
            count[0] += 1
            is_now = count[0] == at
            if is_now and at % 2:
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return whole(*arguments, **options)
            finally:
                if is_now:
                    os.kill(os.getpid(), signal.SIGKILL)

        setattr(owner, name, wrapped)

    for name in ("execute", "executemany", "copy"):
        patch(psycopg.Cursor, name)
    getattr(undoing, call)(*arguments)
    told.send(count[0])
