"""Building capture requests byte by byte, so that a test can break any of their rules."""

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
from loading import query

from hindcast.objects.store import ObjectStore
from hindcast.objects.teams import TeamReader

TOKEN, TEAM = "phc_test_token", "0f25663a3e84ea94"
BOUNDARY = "edge"
TYPES = ("$ai_generation", "$ai_trace", "$ai_span", "$ai_embedding", "$ai_metric", "$ai_feedback")
Part = tuple[str, bytes, dict[str, str]]


def make_fields(number: int = 1, **changes: Any) -> dict[str, Any]:
    """The `event` part of a valid request; a change to None leaves the field out."""
    fields: dict[str, Any] = {
        "event": "$ai_generation",
        "distinct_id": f"user-{number}",
        "uuid": str(UUID(int=number)),
        "timestamp": "2026-01-02T03:04:05Z",
        "properties": {"$ai_model": "model-1", "$ai_input_tokens": 12},
    }
    return {name: value for name, value in (fields | changes).items() if value is not None}


def event_part(**changes: Any) -> Part:
    return json_part("event", make_fields(**changes))


def json_part(name: str, value: object) -> Part:
    return name, json.dumps(value).encode(), {"Content-Type": "application/json"}


def blob(name: str, data: bytes = b"a large value", kind: str = "text/plain", **headers: str) -> Part:
    return (
        f"event.properties.{name}",
        data,
        {"Content-Type": kind, **{k.replace("_", "-"): v for k, v in headers.items()}},
    )


def build_body(*parts: Part, boundary: str = BOUNDARY) -> bytes:
    body = b""
    for name, data, headers in parts:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n'
        head += "".join(f"{header}: {value}\r\n" for header, value in headers.items() if value)
        body += head.encode() + b"\r\n" + data + b"\r\n"
    return body + f"--{boundary}--\r\n".encode()


@dataclass
class Capture:
    """An endpoint that is being served, and what is behind it."""

    client: httpx.Client
    url: str
    store: ObjectStore

    def post(self, body: bytes, **headers: str | None) -> httpx.Response:
        """Send a body; a header of None is left out."""
        sent: dict[str, str | None] = {
            "Authorization": f"Bearer {TOKEN}",
            "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        }
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post("/i/v0/ai", content=body, headers={n: v for n, v in sent.items() if v is not None})

    def send(self, *parts: Part) -> httpx.Response:
        return self.post(build_body(*parts))

    def rows(self) -> list[tuple[Any, ...]]:
        return query(
            self.url,
            "SELECT event_type, created_at, source, tenant, user_id, source_event_id, payload, import_chunk_id"
            " FROM analytics_events ORDER BY source_event_id",
        )

    def ledger(self) -> list[tuple[Any, ...]]:
        return query(self.url, "SELECT key, team, size_bytes, state FROM llm_objects ORDER BY key")

    def reader(self, team: str = TEAM) -> TeamReader:
        return TeamReader(self.store, team)
