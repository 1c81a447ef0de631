"""A real PgBouncer in front of a test's database, reached over TCP."""

import contextlib
import getpass
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg

PGBOUNCER = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")


@contextmanager
def start_pooler(target: str, mode: str) -> Iterator[str]:
    """URL of the target through a pooler in that mode (`session` or `transaction`)."""
    parts = urlsplit(target)
    (folder,) = parse_qs(parts.query)["host"]
    with tempfile.TemporaryDirectory() as home, _relay(f"{folder}/.s.PGSQL.5432") as server_port:
        Path(home).chmod(0o755)  # PgBouncer refuses to run as root, and reads its settings as somebody else
        port = _free_port()
        settings = Path(home, "pgbouncer.ini")
        settings.write_text(
            f"[databases]\n* = host=127.0.0.1 port={server_port} user=postgres\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\npool_mode = {mode}\n"
            "unix_socket_dir =\ndefault_pool_size = 4\n"
        )
        as_somebody = ["-u", "nobody"] if getpass.getuser() == "root" else []
        pooler = subprocess.Popen([str(PGBOUNCER), *as_somebody, str(settings)], stderr=subprocess.DEVNULL)
        try:
            url = f"postgresql://postgres@127.0.0.1:{port}{parts.path}"
            _await_answer(url)
            yield url
        finally:
            pooler.terminate()
            pooler.wait()


@contextmanager
def _relay(path: str) -> Iterator[int]:
    """A port that leads to a socket in a folder which only its owner may enter."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_accept, args=(listener, path))
        thread.start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def _accept(listener: socket.socket, path: str) -> None:
    serving = []
    while True:
        try:
            near, _ = listener.accept()
        except OSError:
            break
        serving.append(threading.Thread(target=_serve, args=(near, path)))
        serving[-1].start()
    for thread in serving:
        thread.join()


def _serve(near: socket.socket, path: str) -> None:
    with near, socket.socket(socket.AF_UNIX) as far:
        far.connect(path)
        back = threading.Thread(target=_pass_on, args=(far, near))
        back.start()
        _pass_on(near, far)
        back.join()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_answer(url: str) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
            return
        except psycopg.OperationalError:
            assert time.monotonic() < deadline, "the pooler does not answer"
            time.sleep(0.05)
