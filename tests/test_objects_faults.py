"""Outages between us and S3: refused, 500s, slow, cut; each is survived or told, and leaves nothing half."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from storing import QUICK, put

from hindcast.errors import ObjectError, StoreUnavailable
from hindcast.objects.s3 import S3Store
from hindcast.objects.store import read_object

pytest_plugins = ["objects_fixtures"]
KEY, DATA = "llma/t/value", bytes(range(256)) * 4_000  # a megabyte
ERROR_500 = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
NO_CONDITIONS = (
    b"HTTP/1.1 501 Not Implemented\r\nContent-Type: application/xml\r\nContent-Length: 52\r\nConnection: close\r\n\r\n"
    b"<Error><Code>NotImplemented</Code><Message/></Error>"
)
Misbehave = Callable[[socket.socket, socket.socket], None]


class Proxy:
    """Forwards connections to S3; the first ones as `faults` says, the others honestly."""

    def __init__(self, endpoint: str) -> None:
        target = urlsplit(endpoint)
        self._target = (str(target.hostname), int(target.port or 80))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.faults: list[Misbehave] = []
        self.connections = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            fault = self.faults.pop(0) if self.faults else forward
            threading.Thread(target=self._run, args=(client, fault), daemon=True).start()

    def _run(self, client: socket.socket, fault: Misbehave) -> None:
        with client, socket.create_connection(self._target) as server:
            try:
                fault(client, server)
            except OSError:
                return


def pump(source: socket.socket, sink: socket.socket, most: int = 1 << 40) -> None:
    """Copy up to so many bytes, then hang up."""
    while most > 0 and (block := source.recv(min(65_536, most))):
        sink.sendall(block)
        most -= len(block)
    for one in (source, sink):
        one.shutdown(socket.SHUT_RDWR)


def forward(client: socket.socket, server: socket.socket) -> None:
    threading.Thread(target=quietly(pump), args=(client, server), daemon=True).start()
    pump(server, client)


def cut_upload(client: socket.socket, server: socket.socket) -> None:
    pump(client, server, 300_000)


def cut_download(client: socket.socket, server: socket.socket) -> None:
    threading.Thread(target=quietly(pump), args=(client, server), daemon=True).start()
    pump(server, client, 300_000)


def answer_500(client: socket.socket, server: socket.socket) -> None:
    client.recv(65_536)
    client.sendall(ERROR_500)


def know_no_conditions(client: socket.socket, server: socket.socket) -> None:
    received = b""
    while len(received) < 3_000 and not received.endswith(b"x") and (block := client.recv(65_536)):
        received += block
    client.sendall(NO_CONDITIONS)


def be_slow(client: socket.socket, server: socket.socket) -> None:
    client.recv(65_536)
    time.sleep(QUICK.read_timeout_seconds + 0.1)


def lose_the_answer(client: socket.socket, server: socket.socket) -> None:
    """S3 stores it, and its answer is lost on the way."""
    threading.Thread(target=quietly(pump), args=(client, server), daemon=True).start()
    answered = b""
    while b"HTTP/1.1 200" not in answered and (block := server.recv(65_536)):
        answered += block


def quietly(function: Callable[..., None]) -> Callable[..., None]:
    def run(*arguments: object) -> None:
        try:
            function(*arguments)
        except OSError:
            return

    return run


@pytest.fixture
def proxy(aws: str, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    made = Proxy(aws)
    monkeypatch.setenv("AWS_ENDPOINT_URL", made.url)
    yield made
    made.close()


@pytest.fixture
def store(proxy: Proxy, bucket: str) -> S3Store:
    return S3Store(bucket, QUICK)


@pytest.mark.parametrize("fault", [answer_500, be_slow, cut_upload, lose_the_answer], ids=lambda f: f.__name__)
def test_an_upload_survives(proxy: Proxy, store: S3Store, fault: Misbehave) -> None:
    proxy.faults = [fault, fault] if fault is not be_slow else [fault]
    put(store, KEY, DATA)
    assert proxy.connections > 1
    assert read_object(store, KEY) == DATA


@pytest.mark.parametrize("fault", [answer_500, cut_download], ids=lambda f: f.__name__)
def test_a_download_goes_on_where_it_was_cut(proxy: Proxy, store: S3Store, fault: Misbehave) -> None:
    put(store, KEY, DATA)
    fresh = S3Store(store.bucket, QUICK)  # with no connection open yet
    proxy.faults = [forward, fault, fault]
    fresh.head(KEY)
    fresh._client.close()
    assert b"".join(fresh.stream(KEY, 5, 900_000)) == DATA[5:900_001]


def test_an_upload_that_is_always_cut_leaves_nothing_and_says_so(proxy: Proxy, store: S3Store) -> None:
    proxy.faults = [cut_upload] * QUICK.attempts
    with pytest.raises(StoreUnavailable, match="also when asked again"):
        put(store, KEY, DATA)
    assert not list(store.list())


def test_a_store_that_always_fails_is_tried_several_times(proxy: Proxy, store: S3Store) -> None:
    proxy.faults = [answer_500] * QUICK.attempts
    with pytest.raises(StoreUnavailable, match="500"):
        store.head(KEY)
    assert (proxy.connections, proxy.faults) == (QUICK.attempts, [])


def test_a_store_that_refuses_connections_is_told_with_what_to_check(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    with pytest.raises(StoreUnavailable, match=r"EndpointConnectionError.*check AWS_ENDPOINT_URL"):
        put(S3Store("bucket", QUICK), KEY, b"x")


def test_a_store_without_conditional_puts_is_asked_first(proxy: Proxy, store: S3Store) -> None:
    proxy.faults = [know_no_conditions]
    assert put(store, KEY, b"x" * 3_000)
    proxy.faults = []
    assert not put(store, KEY, b"x" * 3_000)


def test_what_the_store_refuses_is_not_tried_again(
    proxy: Proxy, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = S3Store("nobody-made-it", QUICK)
    with pytest.raises(ObjectError, match="no such bucket"):
        put(other, KEY, b"x")
    assert proxy.connections == 1
