"""Leaving by Ctrl-C: the run is closed, and then the command is gone within seconds, whatever Prefect waits for."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Final

INTERRUPTED: Final = 130  # what a shell gives for a command ended by Ctrl-C
# Closing a run (report, ledger) takes a second or two; Prefect's own goodbyes up to five.
LEAVE_SECONDS: Final = 8.0
SENTENCE: Final = "hindcast: interrupted; what is committed stays, the same command goes on from there"


@contextlib.contextmanager
def leaving_promptly() -> Iterator[None]:
    """Let the first Ctrl-C raise KeyboardInterrupt here, and see that the process ends; the second one ends it at once.

    Only in the main thread: elsewhere (a command called from a test) signals are left alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    except KeyboardInterrupt:
        raise  # with the handler in place: a second Ctrl-C still counts
    signal.signal(signal.SIGINT, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGINT, lambda *_: leave())
    timer = threading.Timer(LEAVE_SECONDS, leave)
    timer.daemon = True
    timer.start()
    raise KeyboardInterrupt


def leave() -> None:
    """End this process and all it started, now, with exit code 130."""
    import psutil  # like the next, a tenth of a second of `--help`, which needs none of it

    from flows.private_server import stop_private_server

    with contextlib.suppress(OSError):
        os.write(2, f"{SENTENCE}\n".encode())
        if sys.stderr.isatty():
            os.write(2, b"\x1b[?25h")  # a progress bar may have hidden the cursor
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            child.kill() if "hindcast.pool" in child.cmdline() else None
    stop_private_server(seconds=0.5)
    os._exit(INTERRUPTED)
