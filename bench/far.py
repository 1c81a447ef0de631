"""A database as if it were far away: a relay, in a process of its own, that holds all that passes for half a journey.

`python -m bench.far LISTEN CONNECT MILLISECONDS` relays one Unix socket to another until it is told to end.
"""

import contextlib
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from psycopg.conninfo import conninfo_to_dict

from bench.command import CommandFailed

_BYTES: Final = 1 << 18
_HELD: Final = 4096  # pieces on their way: more than the fastest load has in 50 ms


@contextlib.contextmanager
def seen_from_afar(url: str, milliseconds: float) -> Iterator[str]:
    """The URL of the same database behind a relay; a journey there and back takes so long. 0: the URL itself."""
    if not milliseconds:
        yield url
        return
    given = conninfo_to_dict(url)
    name = f".s.PGSQL.{given['port']}"
    with tempfile.TemporaryDirectory(prefix="hindcast-far-") as folder:
        command = [sys.executable, "-m", "bench.far", f"{folder}/{name}", f"{given['host']}/{name}", str(milliseconds)]
        relay = subprocess.Popen(command)
        try:
            while not Path(folder, name).exists():
                if relay.poll() is not None:
                    raise CommandFailed("the relay ended before it listened")
                time.sleep(0.05)
            yield urlsplit(url)._replace(query=f"host={quote(folder, safe='/')}&port={given['port']}").geturl()
        finally:
            relay.terminate()
            relay.wait()


def relay(listen: str, connect: str, milliseconds: float) -> None:
    """Relay every connection, each way in threads of its own."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(listen)
        listener.listen(64)
        while True:
            near, _ = listener.accept()
            far = socket.socket(socket.AF_UNIX)
            far.connect(connect)
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_pass_on, args=(source, sink, milliseconds / 2000), daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket, seconds: float) -> None:
    """Pass on what comes, each piece so many seconds after it came, and then that no more does."""
    held: queue.Queue[tuple[float, bytes]] = queue.Queue(_HELD)

    def deliver() -> None:
        with contextlib.suppress(OSError):
            while True:
                due, piece = held.get()
                time.sleep(max(due - time.monotonic(), 0))
                if not piece:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(piece)

    threading.Thread(target=deliver, daemon=True).start()
    piece = b"-"
    while piece:
        try:
            piece = source.recv(_BYTES)
        except OSError:
            piece = b""
        held.put((time.monotonic() + seconds, piece))


if __name__ == "__main__":
    relay(sys.argv[1], sys.argv[2], float(sys.argv[3]))
