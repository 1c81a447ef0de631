"""The process of Prefect's server that commands of one home share.

`python -P prefect_server.py HOST PORT FOLDER MINUTES`. It ends by itself when nobody has used it for so many minutes
(0: it is told to end), or when FOLDER no longer names it. Imports nothing of ours: it is started before all else.
"""

import contextlib
import gc
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import psutil

DESCRIPTION: Final = "server.json"
USERS: Final = "server-users"
SECONDS_BETWEEN_LOOKS: Final = 2.0


def describe(folder: Path, pid: int, **facts: object) -> None:
    """Name a process as the folder's server, whole or not at all."""
    aside = folder / f"{DESCRIPTION}.{os.getpid()}"
    aside.write_text(json.dumps({"pid": pid, "began_at": began_at(pid), **facts}))
    aside.rename(folder / DESCRIPTION)


def read_description(folder: Path) -> dict[str, Any] | None:
    """What the folder says of its server, while that process runs."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        facts: dict[str, Any] = json.loads((folder / DESCRIPTION).read_text())
        if is_alive(facts["pid"], facts["began_at"]):
            return facts
    return None


def began_at(pid: int) -> float:
    """When a process began, in seconds since 1970; 0 when there is none."""
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).create_time()
    return 0.0


def is_alive(pid: int, began: float) -> bool:
    """True while that very process runs: a pid may be somebody else's by now."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        return abs(process.create_time() - began) < 1 and process.status() != psutil.STATUS_ZOMBIE
    return False


def list_users(folder: Path) -> list[int]:
    """Pids of the commands that use the folder's server; what dead ones left is removed."""
    found = []
    for path in (folder / USERS).glob("*"):
        with contextlib.suppress(OSError, ValueError):
            if is_alive(int(path.name), float(path.read_text() or 0)):
                found.append(int(path.name))
            else:
                path.unlink()
    return found


class Watch:
    """Decides when the server of a folder ends: `pid` is its own, `clock` counts seconds."""

    def __init__(self, folder: Path, pid: int, minutes: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._pid, self._minutes, self._clock = folder, pid, minutes, clock
        self._used_at = clock()

    def is_over(self) -> bool:
        """True when the server is to end; then the folder no longer names it."""
        if list_users(self._folder):
            self._used_at = self._clock()
            return False
        named = read_description(self._folder)
        if not named or named["pid"] != self._pid:
            return True
        if self._clock() - self._used_at < 60 * self._minutes:
            return False
        text = (self._folder / DESCRIPTION).read_text()
        (self._folder / DESCRIPTION).unlink(missing_ok=True)
        if list_users(self._folder):  # a command came between the two looks, and may have read it
            (self._folder / DESCRIPTION).write_text(text)
            return False
        return True


def main() -> None:
    """Serve until the end."""
    host, port, folder, minutes = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4])
    # Its imports make a million objects that stay: looking for garbage among them meanwhile costs half a second.
    gc.disable()
    import uvicorn
    from prefect.server.api.server import create_app

    gc.freeze()  # or what is collected when the app is made takes a tenth of a second
    app = create_app()
    gc.enable()
    server = uvicorn.Server(uvicorn.Config(app, host=host, port=port, log_level="error"))

    def watch() -> None:
        over = Watch(folder, os.getpid(), minutes)
        while not over.is_over():
            time.sleep(SECONDS_BETWEEN_LOOKS)
        server.should_exit = True

    if minutes:
        threading.Thread(target=watch, daemon=True).start()
    server.run()


if __name__ == "__main__":
    main()
