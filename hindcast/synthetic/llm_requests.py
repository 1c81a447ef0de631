"""Writing generated events as the requests that capture them: `POST /i/v0/ai`, as it goes over the wire.

A quarter of the bodies are gzip, a third of the values; a fifth of the events have their properties in a part of their
own. An event that is repeated comes with its body the other way, so that only the body's compression differs.
"""

from email.utils import format_datetime
from typing import Any, Final

from hindcast.acceptance.payloads import compress
from hindcast.acceptance.request import CaptureRequest, RequestPart
from hindcast.synthetic.llm_records import Drawn, write_json

TOKEN: Final = "phc_test_token"  # of the documentation; its team is 0f25663a3e84ea94
# What only a request can be: without a time of its own, to elsewhere, with a part of a refused type, without a token.
REQUEST_ODD: Final = ("dated", "other_path", "image_part", "no_token")
_REFUSED: Final = ("bad_uuid", "no_model", "cut_off", "unknown_event", "bad_time", "image_part")
REQUEST_REJECTS: Final = dict.fromkeys(_REFUSED, "refused_request") | {"other_path": "other_request"}
_PIXEL: Final = RequestPart("event.properties.pixel", b"\x89PNG\r\n\x1a\n", "image/png")


def write_request(drawn: Drawn, kind: str) -> str:
    """The request of an event, its bytes as surrogates where they are no UTF-8; `kind` is what is odd about it.

    Its `Date` is the event's own second. One cut off ends amid its body, and its `Content-Length` says so.
    """
    parts = _make_parts(drawn) + ([_PIXEL] if kind == "image_part" else [])
    is_gzip = (drawn.number % 4 == 1) != (kind == "duplicate")
    request = CaptureRequest(drawn.record["uuid"], tuple(parts), is_gzip=is_gzip)
    body = request.body()
    if kind == "cut_off":
        body = body[: len(body) // 2]
    headers = {"Host": "capture.example", "Date": format_datetime(drawn.moment, usegmt=True)}
    if kind != "no_token":
        headers["Authorization"] = f"Bearer {TOKEN}"
    headers |= request.headers() | {"Content-Length": str(len(body))}
    path = "/i/v0/e" if kind == "other_path" else "/i/v0/ai"
    head = f"POST {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return (head.encode() + b"\r\n" + body).decode("utf-8", "surrogateescape")


def _make_parts(drawn: Drawn) -> list[RequestPart]:
    properties = {name: value for name, value in drawn.record["properties"].items() if name not in drawn.payloads}
    event: dict[str, Any] = drawn.record | {"properties": properties}
    is_apart = drawn.number % 5 == 2
    if is_apart:
        del event["properties"]
    parts = [RequestPart("event", write_json(event).encode(), "application/json")]
    if is_apart:
        parts.append(RequestPart("event.properties", write_json(properties).encode(), "application/json"))
    for place, (name, payload) in enumerate(drawn.payloads.items()):
        is_packed = (drawn.number // 2 + place) % 3 == 0
        data = compress(payload.data) if is_packed else payload.data
        encoding = "gzip" if is_packed else ""
        parts.append(RequestPart(f"event.properties.{name}", data, payload.content_type, encoding))
    return parts
