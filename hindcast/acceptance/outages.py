"""Outages for the edge cases: a gate before a server that can be shut, and a store that hangs up."""

import contextlib
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from hindcast.sockets import LOOPBACK


class Gate:
    """Forwards connections to a server until it is shut; then it hangs up on all of them.

    `refusals` is how many connections it hangs up on first, whether it is open or not.
    """

    def __init__(self, listener: socket.socket, family: int, address: str | tuple[str, int]) -> None:
        self._listener, self._family, self._address = listener, family, address
        self._open_sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.is_open = True
        self.connections = self.refusals = 0
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens, on loopback."""
        return int(self._listener.getsockname()[1])

    def shut(self) -> None:
        """Cut every connection, and refuse new ones."""
        with self._lock:
            self.is_open = False
            cut = list(self._open_sockets)
        for one in cut:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def open(self) -> None:
        """Let connections through again."""
        with self._lock:
            self.is_open = True

    def close(self) -> None:
        """Cut everything, and stop listening."""
        self.shut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            if not self.is_open or self.connections <= self.refusals:
                client.close()
                continue
            threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.socket(self._family) as server:
            server.connect(self._address)
            with self._lock:
                self._open_sockets |= {client, server}
            back = threading.Thread(target=_pump, args=(server, client), daemon=True)
            back.start()
            _pump(client, server)
            back.join()
            with self._lock:
                self._open_sockets -= {client, server}


@contextlib.contextmanager
def gated_database(url: str) -> Iterator[tuple[str, Gate]]:
    """A libpq string of the same database through a gate, and the gate; over the kind of socket the URL has."""
    with psycopg.connect(url) as connection:
        host, port = connection.info.hostaddr or connection.info.host, connection.info.port
    with contextlib.ExitStack() as stack:
        if host.startswith("/"):
            # Short: the path of a Unix socket has at most about 100 bytes.
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="hc", dir="/tmp"))
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(Path(folder) / f".s.PGSQL.{port}"))
            listener.listen()
            gate = Gate(listener, socket.AF_UNIX, str(Path(host) / f".s.PGSQL.{port}"))
            changes: dict[str, str | int] = {"host": folder, "port": port}
        else:
            listener = socket.create_server((LOOPBACK, 0))
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            gate = Gate(listener, family, (host, port))
            changes = {"host": LOOPBACK, "port": gate.port}
        stack.callback(gate.close)
        if "hostaddr" in conninfo_to_dict(url):
            changes["hostaddr"] = LOOPBACK
        yield make_conninfo(url, **changes), gate


@contextlib.contextmanager
def gated_server(address: tuple[str, int] | None) -> Iterator[Gate]:
    """A gate on loopback before a server; before none, it is shut, and hangs up on everybody."""
    listener = socket.create_server((LOOPBACK, 0))
    family = socket.AF_INET6 if address and ":" in address[0] else socket.AF_INET
    gate = Gate(listener, family, address or listener.getsockname())
    if not address:
        gate.shut()
    try:
        yield gate
    finally:
        gate.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while block := source.recv(65_536):
            sink.sendall(block)
    for one in (source, sink):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
