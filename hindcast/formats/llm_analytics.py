"""`llm_analytics`: events of language models; JSON lines with large values inline, or captured multipart requests.

Times are UTC, also where no zone is written. Identity: `uuid`, within the team. A property whose JSON text is longer
than `Context.inline_bytes` leaves the payload for a part of the event's object; there its bytes are those of the
record: a text as UTF-8, JSON as it was written, a base64 data URI decoded. Field rules: docs/formats/llm_analytics.md.
"""

import base64
import binascii
import re
from typing import Any, Final

import msgspec

from hindcast import llm_events  # it imports this package: its names are there only once both are loaded
from hindcast.canonical import check_depth, decode_value, encode_value, mark_unstorable
from hindcast.errors import RecordError
from hindcast.event import Event, Skipped
from hindcast.formats import personal
from hindcast.formats.base import Context, Option
from hindcast.formats.reading import name_type, read_object, read_objects
from hindcast.objects.content import Content
from hindcast.objects.keys import ObjectUrl
from hindcast.objects.multipart import MultipartObject, Value, build_object
from hindcast.objects.teams import key_of, team_of
from hindcast.times import format_utc

NAME: Final = "llm_analytics"
OPTIONS: Final[dict[str, Option]] = {}
DEFAULT_TEAM: Final = "default"  # without a token and without --tenant
TOKEN_NAMES: Final = ("token", "api_key")  # of the project; its team is kept, the token is not
INLINE_NAMES: Final = frozenset({"$ai_model", "$ai_provider"})  # keys of the rollup, never in an object

_CAPTURED: Final = b"POST /i/v0/ai"
_REQUEST: Final = re.compile(rb"[A-Z]{1,20} \S{1,8000} HTTP/1\.[01]\r\n")
_AUTHORIZATION: Final = re.compile(r"(?im)^(authorization:)[^\r\n]*")
_TOKEN: Final = re.compile(r"\bph[cxs]_[A-Za-z0-9_-]{1,64}")
_DATA_URI: Final = re.compile(
    r"data:([\w.+-]{1,64}/[\w.+-]{1,64})?(?:;[\w.+-]{1,64}=[\w.+-]{1,64}){0,8};base64,", re.ASCII
)
_WRITTEN: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


class LargeEvent(Event, gc=False):
    """An event and the object with its large values; staging writes the object out and lets go of it."""

    bundle: MultipartObject | None = None


def detect(records: list[bytes]) -> str | None:
    """Evidence: most records are `$ai_*` events with an id, a person and properties."""
    captured = sum(raw.startswith(_CAPTURED) for raw in records)
    if captured * 2 > len(records):
        return f"{captured} of the first {len(records)} records are requests of POST /i/v0/ai"
    own = 0
    for fields in read_objects(records):
        is_known = isinstance(fields.get("event"), str) and fields["event"] in llm_events.BLOB_NAMES
        own += is_known and {"distinct_id", "uuid", "properties"} <= fields.keys()
    if own * 2 > len(records) or (own and own == len(records)):
        return f"{own} of the first {len(records)} records are $ai_ events with distinct_id, uuid and properties"
    return None


def decode(raw: bytes, context: Context) -> Event | Skipped:
    """Read one record; raises RecordError with the rule it breaks."""
    if raw.startswith(b"{"):
        return _decode_line(raw, context)
    if _REQUEST.match(raw):
        from hindcast.formats.llm_requests import read_captured  # imports the parser of multipart bodies

        event, values = read_captured(raw, context, context.tenant or DEFAULT_TEAM)
        return _offload(event, values, context) if values else event
    return _decode_line(raw, context)


def _decode_line(raw: bytes, context: Context) -> Event:
    check_depth(raw)
    raw, is_sanitised = mark_unstorable(raw)
    fields, written = _read(raw)
    large = {name for name, text in written.items() if _is_large(name, text, context)}
    small = {name: decode_value(text) for name, text in written.items() if name not in large}
    if isinstance(fields.get("properties", {}), dict):
        fields["properties"] = small
    event = llm_events.map_event(fields, llm_events.Reading(_read_team(fields, context), context.latest))
    event.is_sanitised = is_sanitised
    _keep_unknown(event, fields, context)
    return _offload(event, [_to_value(name, written[name]) for name in large], context) if large else event


def encode(event: Event) -> bytes:
    """Write an event as a record that decodes to the same event, for the same team; references stay references."""
    return encode_value(
        {
            "event": event.event_type,
            "distinct_id": event.user_id,
            "uuid": event.source_event_id,
            "timestamp": format_utc(event.occurred_at),
            "properties": event.payload,
        }
    )


def redact(text: str) -> str:
    """Hide project tokens, personal keys and what personal values look like."""
    return personal.redact(_TOKEN.sub("[token]", _AUTHORIZATION.sub(r"\1 [token]", text)))


def _read(raw: bytes) -> tuple[dict[str, Any], dict[str, msgspec.Raw]]:
    """The record's fields, its properties apart and as they were written."""
    if not raw.isascii():
        _require_utf8(raw)  # what is not decoded here is kept as it is
    try:
        found = _WRITTEN.decode(raw)
        properties = found.pop("properties", None)
        written = _WRITTEN.decode(properties) if properties and bytes(memoryview(properties)[:1]) == b"{" else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        read_object(raw)  # says what is wrong, the same way as for every format
        raise RecordError("malformed_json", "not a JSON object") from None
    fields = {name: decode_value(text) for name, text in found.items()}
    if properties is not None:
        fields["properties"] = {} if written else decode_value(properties)
    return fields, written


def _require_utf8(raw: bytes) -> None:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        raise RecordError("invalid_utf8", f"not UTF-8: {error.reason} at byte {error.start} of the line") from None


def _read_team(fields: dict[str, Any], context: Context) -> str:
    for name in TOKEN_NAMES:
        token = fields.get(name)
        if token is not None and not isinstance(token, str):
            raise RecordError("invalid_type", f"{name} is {name_type(token)}: expected a string")
        if token and token.strip():
            return team_of(token.strip())
    return context.tenant or DEFAULT_TEAM


def _keep_unknown(event: Event, fields: dict[str, Any], context: Context) -> None:
    for name in fields.keys() - llm_events.KNOWN_NAMES - {*TOKEN_NAMES}:
        context.count_unknown(name)
        event.payload.setdefault(name, fields[name])


def _is_large(name: str, text: msgspec.Raw, context: Context) -> bool:
    return len(text) > context.inline_bytes and name not in INLINE_NAMES


def _to_value(name: str, text: msgspec.Raw) -> Value:
    if not name or len(name) > 200 or any(character < " " for character in name):
        raise RecordError(
            "invalid_property", f"property {name[:40]!r}: a large value needs a name of 1 to 200 characters"
        )
    if bytes(memoryview(text)[:1]) != b'"':
        return Value(name, Content([bytes(text)]), "application/json")
    value = msgspec.json.decode(text, type=str)
    uri = _DATA_URI.match(value)
    if uri:
        try:
            octets = base64.b64decode(value[uri.end() :], validate=True)
        except (binascii.Error, ValueError):  # it only begins like one
            octets = b""
        if octets:
            return Value(name, Content([octets]), uri[1] or "application/octet-stream")
    return Value(name, Content([value.encode()]), "text/plain")


def _offload(event: Event, values: list[Value], context: Context) -> LargeEvent:
    bundle = build_object(values)
    assert event.source_event_id
    key = key_of(event.tenant, event.source_event_id)
    references = {name: str(ObjectUrl(context.bucket, key, *reach)) for name, reach in bundle.ranges.items()}
    context.notes["values_offloaded"] += len(values)
    fields = {name: getattr(event, name) for name in Event.__struct_fields__}
    fields["payload"] = llm_events.put_references(event.payload, references)
    return LargeEvent(**fields, bundle=bundle)
