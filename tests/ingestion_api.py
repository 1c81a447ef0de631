"""A stand-in for an HTTP ingestion API that misbehaves as it is told; remembers every event it accepted."""

import json
import random
import threading
import time
from collections import Counter, deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Api(ThreadingHTTPServer):
    """`script` are answers to give first: a status, ("wait", seconds) or "hang up"; then `faults` of them at random."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.accepted: Counter[str] = Counter()
        self.order: list[str] = []
        self.requests: list[float] = []
        self.headers: list[dict[str, str]] = []
        self.script: deque[Any] = deque()
        self.faults = 0.0
        self.retry_after: str | None = None
        self.refused: set[str] = set()
        self.random = random.Random(1)
        self.lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/api/v1/ingestion/events"

    def handle_error(self, *arguments: object) -> None:
        pass  # clients that are killed, and connections hung up

    def stop(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Api

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        api = self.server
        with api.lock:
            api.requests.append(time.monotonic())
            api.headers.append(dict(self.headers))
            planned = api.script.popleft() if api.script else None
            if planned is None and api.random.random() < api.faults:
                planned = api.random.choice([500, 503, 429, "hang up"])
        if planned == "hang up":
            self.close_connection = True
            self.connection.close()
        elif isinstance(planned, tuple):
            time.sleep(planned[1])
            self._accept(body)
        elif planned is not None:
            self._answer(planned, {"message": f"planned {planned}"})
        else:
            self._accept(body)

    def _accept(self, body: bytes) -> None:
        api, record = self.server, json.loads(body)
        events = record["events"] if self.path.endswith("/batch") else [record]
        with api.lock:
            refused = [event["event_id"] for event in events if event["event_id"] in api.refused]
            if refused:
                return self._answer(422, {"message": f"{refused[0]} is no event"})
            known = [api.accepted[event["event_id"]] > 0 for event in events]
            for event in events:
                api.accepted[event["event_id"]] += 1
                api.order.append(event["event_id"])
        if self.path.endswith("/batch"):
            results = [{"status": "already exists" if there else "stored"} for there in known]
            return self._answer(200, {"results": results})
        return self._answer(200 if known[0] else 201, {"message": "already exists" if known[0] else "stored"})

    def _answer(self, status: int, answer: dict[str, Any]) -> None:
        text = json.dumps(answer).encode()
        self.send_response(status)
        if status in (429, 503) and self.server.retry_after is not None:
            self.send_header("Retry-After", self.server.retry_after)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *arguments: object) -> None:
        pass
