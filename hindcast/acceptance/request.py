"""Building capture requests: multipart bodies, well-formed unless a check wants them otherwise."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from hindcast.acceptance.payloads import Payload, compress


@dataclass(frozen=True)
class RequestPart:
    """A part as it is sent; empty headers are left out."""

    name: str
    data: bytes
    content_type: str = ""
    content_encoding: str = ""

    def head(self) -> bytes:
        lines = [f'Content-Disposition: form-data; name="{self.name}"']
        lines += [f"Content-Type: {self.content_type}"] if self.content_type else []
        lines += [f"Content-Encoding: {self.content_encoding}"] if self.content_encoding else []
        return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"


@dataclass(frozen=True)
class CaptureRequest:
    """An event and its large values. `payloads` is what they hold, uncompressed, by the property's name."""

    uuid: str
    parts: tuple[RequestPart, ...]
    payloads: Mapping[str, Payload] = field(default_factory=dict)
    is_gzip: bool = False

    @property
    def boundary(self) -> str:
        """A boundary that occurs in no part, the same for the same parts."""
        seed = self.uuid
        while True:
            boundary = f"acceptance-{hashlib.sha256(seed.encode()).hexdigest()[:24]}"
            if not any(boundary.encode() in part.data for part in self.parts):
                return boundary
            seed += "+"

    def body(self) -> bytes:
        """The body, compressed as a whole when `is_gzip`."""
        edge = self.boundary.encode()
        pieces = [b"--%s\r\n%s%s\r\n" % (edge, part.head(), part.data) for part in self.parts]
        body = b"".join(pieces) + b"--%s--\r\n" % edge
        return compress(body) if self.is_gzip else body

    def headers(self) -> dict[str, str]:
        """Every header but the token's."""
        encoding = {"Content-Encoding": "gzip"} if self.is_gzip else {}
        return {"Content-Type": f"multipart/form-data; boundary={self.boundary}"} | encoding


def build_request(
    event: str = "$ai_generation",
    payloads: Mapping[str, Payload] | None = None,
    compressed: frozenset[str] = frozenset(),
    **changes: Any,
) -> CaptureRequest:
    """A valid request of a new event; values named in `compressed` are sent as gzip.

    `changes` are fields of the event; None leaves one out, `is_gzip` compresses the whole body.
    """
    is_gzip = bool(changes.pop("is_gzip", False))
    fields: dict[str, Any] = {
        "event": event,
        "distinct_id": "acceptance-user",
        "uuid": str(uuid4()),
        "timestamp": datetime.now(UTC).isoformat(),
        "properties": {"$ai_model": "acceptance-model", "$ai_provider": "acceptance", "$ai_input_tokens": 12},
    }
    fields |= changes
    sent = {name: value for name, value in fields.items() if value is not None}
    parts = [RequestPart("event", json.dumps(sent).encode(), "application/json")]
    for name, payload in (payloads or {}).items():
        is_packed = name in compressed
        data = compress(payload.data) if is_packed else payload.data
        parts.append(RequestPart(f"event.properties.{name}", data, payload.content_type, "gzip" if is_packed else ""))
    return CaptureRequest(str(fields["uuid"]), tuple(parts), payloads or {}, is_gzip)
