"""A stand-in for Amplitude's Export API on loopback, which misbehaves as told."""

import base64
import gzip
import io
import json
import threading
import zipfile
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY, SECRET = "key-of-the-test", "secret-of-the-test"
Fault = Callable[[BaseHTTPRequestHandler, bytes], None]


def make_zip(hours: list[datetime]) -> bytes:
    """An export of one event an hour; no two are the same bytes, as with the real one."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        for hour in hours:
            event = {
                "uuid": f"00000000-0000-4000-8000-{hour:%Y%m%d%H00}",
                "event_type": "ordered",
                "user_id": "ann",
                "device_id": "phone",
                "event_time": f"{hour:%Y-%m-%d %H}:30:00.000000",
                "server_upload_time": f"{hour:%Y-%m-%d %H}:31:00.000000",
                "event_properties": {"hour": hour.hour},
                "$insert_id": f"{hour:%Y%m%d%H}",
            }
            name = f"100/100_{hour:%Y-%m-%d}_{hour.hour}#0.json.gz"
            archive.writestr(name, gzip.compress(json.dumps(event).encode() + b"\n"))
        make_zip.count = getattr(make_zip, "count", 0) + 1
        archive.comment = str(make_zip.count).encode()
    return body.getvalue()


def status(code: int, text: str = "", **headers: str) -> Fault:
    """Answer with a status."""

    def answer(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        send(handler, code, text.encode(), {name.replace("_", "-"): value for name, value in headers.items()})

    return answer


def body(data: bytes) -> Fault:
    """Answer 200 with these bytes."""
    return lambda handler, _: send(handler, 200, data)


def truncated(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    """Promise the whole body, send half of it and hang up."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data[: len(data) // 2])
    handler.close_connection = True


def cut_short(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    """Promise nothing, so that only the zip itself can tell that half of it is missing."""
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(data[: len(data) // 2])
    handler.close_connection = True


def send(handler: BaseHTTPRequestHandler, code: int, data: bytes, headers: dict[str, str] | None = None) -> None:
    handler.send_response(code)
    for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(data)


class StandIn:
    """What it has (`empty` hours apart, every hour), how it fails next (`faults`), what it was asked for (`asked`)."""

    def __init__(self) -> None:
        self.url = ""
        self.empty: set[datetime] = set()
        self.most_hours = 24
        self.faults: dict[str, deque[Fault]] = defaultdict(deque)
        self.asked: list[str] = []

    def fail(self, hour: str, *faults: Fault) -> None:
        """Queue faults for requests that start at an hour, such as `20240131T05`."""
        self.faults[hour].extend(faults)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        query = dict(pair.split("=") for pair in handler.path.partition("?")[2].split("&"))
        first, last = (datetime.strptime(query[name], "%Y%m%dT%H").replace(tzinfo=UTC) for name in ("start", "end"))
        self.asked.append(query["start"] if first == last else f"{query['start']}-{query['end'][-2:]}")
        expected = "Basic " + base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()
        if handler.headers["Authorization"] != expected:
            send(handler, 403, b"Invalid credentials: " + handler.headers["Authorization"].encode())
            return
        count = (last - first) // timedelta(hours=1) + 1
        hours = [first + number * timedelta(hours=1) for number in range(count)]
        found = [hour for hour in hours if hour not in self.empty]
        if self.faults[query["start"]]:
            self.faults[query["start"]].popleft()(handler, make_zip(found))
        elif count > self.most_hours:
            send(handler, 400, b"The file size of the exported data is too large")
        elif found:
            send(handler, 200, make_zip(found))
        else:
            send(handler, 404, b"Raw data files were not found.")


@contextmanager
def running_stand_in() -> Iterator[StandIn]:
    stand_in = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            stand_in.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    stand_in.url = f"http://127.0.0.1:{server.server_port}/api/2/export"
    try:
        yield stand_in
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
