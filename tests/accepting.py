"""What stands in for a platform in the tests of acceptance: a query API as PostHog has it."""

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg

from hindcast.acceptance.local import LocalStage
from hindcast.objects.store import ObjectStore

MakeStage = Callable[[ObjectStore, ObjectStore], LocalStage]


class QueryServer(ThreadingHTTPServer):
    """Answers `POST /api/projects/7/query` from a database's rows of one team, to one key; keeps what was asked."""

    KEY = "phx_a_personal_key_for_tests"
    daemon_threads = True

    def __init__(self, database: str, team: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.database, self.team = database, team
        self.asked: list[tuple[str, str]] = []
        self.changes: dict[str, Any] = {}  # properties put over those that are stored

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, query: dict[str, Any]) -> list[Any]:
        """The rows of the queries that acceptance asks."""
        values = query["values"]
        if query["query"] == "SELECT 1":
            return [[1]]
        where, arguments = "event_type LIKE '$ai%%' AND created_at >= %s", [values.get("since")]
        if "uuid" in values:
            where, arguments = "source_event_id = %s", [values["uuid"]]
        with psycopg.connect(self.database) as connection:
            rows = connection.execute(
                f"SELECT source_event_id, event_type, user_id, created_at, payload FROM analytics_events"  # noqa: S608
                f" WHERE tenant = %s AND {where} ORDER BY created_at DESC, 1 LIMIT %s",
                [self.team, *arguments, int(query["query"].rpartition(" LIMIT ")[2])],
            ).fetchall()
        return [[*row[:3], row[3].isoformat(), json.dumps(row[4] | self.changes)] for row in rows]


class _Handler(BaseHTTPRequestHandler):
    server: QueryServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(("POST", self.path))
        if self.headers.get("Authorization") != f"Bearer {QueryServer.KEY}":
            self._send(401, {"detail": "Authentication credentials were not provided."})
        elif self.path != "/api/projects/7/query":
            self._send(404, {"detail": "Not found."})
        else:
            self._send(200, {"results": self.server.answer(body["query"]), "hasMore": False})

    def do_GET(self) -> None:
        self.server.asked.append(("GET", self.path))
        self._send(405, {"error": "expected POST"})

    def log_message(self, format: str, *_: object) -> None:
        pass

    def _send(self, status: int, answer: object) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
