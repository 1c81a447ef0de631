"""`amplitude`: JSON lines of Amplitude's Export API, in zips of `.json.gz` members.

Times are UTC by definition of the source, though none is written with a zone. Identity: `uuid`, else `$insert_id` and
device, else time and content. A tenant is an `app`. Field rules: docs/formats/amplitude.md.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import msgspec

from hindcast.canonical import (
    MAX_DEPTH,
    MAX_NUMBER_DIGITS,
    check_depth,
    encode_value,
    mark_unstorable,
    read_number,
)
from hindcast.errors import RecordError
from hindcast.event import Event, Skipped
from hindcast.formats.amplitude_fields import IGNORED_NAMES, Record, encode_fields, make_payload, read_record
from hindcast.formats.base import Context, Option, decode_or_fault
from hindcast.formats.derived_events import Derived
from hindcast.formats.personal import redact
from hindcast.formats.reading import check_lengths, read_object, read_objects
from hindcast.times import EPOCH, check_range, format_utc, parse_time

NAME: Final = "amplitude"
OPTIONS: Final = {
    "generate_identify_events": Option(True, "make one $identify for each new pair of user and device"),
    "generate_group_identify_events": Option(False, "make a $groupidentify when a group's properties change"),
    "import_events": Option(True, "import the events themselves, and not only what they give rise to"),
    "keep_fields": Option(False, "keep every field that is not mapped, under $amplitude"),
}
TYPES: Final = {
    "[Amplitude] Page Viewed": "$pageview",
    "[Amplitude] Element Clicked": "$autocapture",
    "[Amplitude] Element Changed": "$autocapture",
}
SESSION_TYPES: Final = frozenset({"session_start", "session_end"})
TIME_NAMES: Final = ("event_time", "client_event_time", "server_received_time")
OUT_OF_SESSION: Final = (-1, 0)

__all__ = ["NAME", "OPTIONS", "decode", "decode_batch", "derive", "describe_change", "detect", "encode", "redact"]


class _Grouped(Event, gc=False):
    """An event with the properties of its groups, which are no part of its row."""

    group_properties: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)


_decode_record = msgspec.json.Decoder(Record, float_hook=read_number).decode
_split_record = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def detect(records: list[bytes]) -> str | None:
    """Evidence: most records have `amplitude_id` or `$insert_id`, and objects that only Amplitude writes."""
    own = 0
    for fields in read_objects(records):
        own += not fields.keys().isdisjoint(("amplitude_id", "$insert_id")) and not fields.keys().isdisjoint(
            ("event_properties", "user_properties", "server_upload_time")
        )
    if own * 2 > len(records) or (own and own == len(records)):
        return f"{own} of the first {len(records)} records have amplitude_id or $insert_id, as Amplitude exports do"
    return None


def decode(raw: bytes, context: Context) -> Event | Skipped:
    """Read one record; raises RecordError with the rule it breaks."""
    check_depth(raw)
    raw, is_sanitised = mark_unstorable(raw)
    fields = _read_fields(raw, context)
    record = read_record(fields)
    event = _make_event(record, context)
    if isinstance(event, Skipped):
        return event
    for name in fields.keys() - IGNORED_NAMES - set(Record.__struct_encode_fields__):
        context.count_unknown(name)
    if context.options.get("keep_fields"):
        kept = {name: fields[name] for name in sorted(fields.keys() & IGNORED_NAMES) if fields[name] is not None}
        event.payload |= {"$amplitude": kept} if kept else {}
    event.is_sanitised = is_sanitised
    return event


def decode_batch(raws: Sequence[bytes], context: Context) -> list[Event | Skipped | RecordError]:
    """The outcomes of `decode` for some records; the hot path of every import."""
    keeps_fields = context.options.get("keep_fields", False)
    outcomes: list[Event | Skipped | RecordError] = []
    for raw in raws:
        found = None if keeps_fields or _is_unusual(raw) else _decode_fast(raw, context)
        outcomes.append(decode_or_fault(decode, raw, context) if found is None else found)
    return outcomes


def encode(event: Event) -> bytes:
    """Write an event as a record that decodes to the same event, whatever the options."""
    fields = encode_fields(event)
    for amplitude, ours in TYPES.items():
        if event.event_type == ours:  # the first that becomes it
            fields["event_type"] = amplitude
            break
    return encode_value(fields)


def derive(event: Event, options: Mapping[str, bool]) -> list[Derived]:
    """The `$identify` of a user and device, and what the record says of its groups."""
    found = []
    user, device = event.user_id, event.anonymous_id
    if user is not None and device is not None and options.get("generate_identify_events", True):
        key = _make_key("identify", event.tenant, user, device)
        identify = Event(
            event.occurred_at,
            "$identify",
            user_id=user,
            anonymous_id=device,
            tenant=event.tenant,
            payload={"$anon_distinct_id": device, "distinct_id": user},
            source_event_id=f"$identify:{UUID(bytes=key)}",
        )
        found.append(Derived(key, identify))
    if isinstance(event, _Grouped):
        found.extend(_observe_groups(event))
    return found


def describe_change(event: Event, before: dict[str, Any] | None, after: dict[str, Any]) -> Event | None:
    """The `$groupidentify` that tells what of a group's properties is new, other or gone; None when nothing is."""
    known = before or {}
    changed = {
        name: value
        for name, value in after.items()
        if name not in known or encode_value(known[name]) != encode_value(value)
    }
    gone = sorted(known.keys() - after.keys())
    if before is not None and not changed and not gone:
        return None
    payload = event.payload | {"$group_set": changed} | ({"$group_unset": gone} if gone else {})
    return msgspec.structs.replace(event, payload=payload)


def _observe_groups(event: _Grouped) -> list[Derived]:
    found = []
    for kind, groups in event.group_properties.items():
        for group, properties in groups.items():
            if not isinstance(properties, dict):
                continue
            key = _make_key("group", event.tenant, kind, group)
            told = Event(
                event.occurred_at,
                "$groupidentify",
                tenant=event.tenant,
                payload={"$group_type": kind, "$group_key": group},
                source_event_id=f"$groupidentify:{UUID(bytes=key)}:{format_utc(event.occurred_at)}",
            )
            found.append(Derived(key, told, properties))
    return found


@lru_cache(maxsize=65_536)
def _make_key(*values: str) -> bytes:
    # As a JSON array, so that "a:b" and "c" are not "a" and "b:c".
    return sha256(encode_value(values)).digest()[:16]


def _read_fields(raw: bytes, context: Context) -> dict[str, Any]:
    """The fields of a record; a number too long to keep is no fault where it is not kept."""
    try:
        return read_object(raw)
    except RecordError as fault:
        if fault.code != "number_out_of_range" or context.options.get("keep_fields"):
            raise
        try:
            raw.decode()
            fields = _split_record(raw)
        except UnicodeDecodeError as error:
            raise RecordError("invalid_utf8", f"not UTF-8: {error.reason} at byte {error.start} of the line") from None
        except msgspec.DecodeError:
            raise fault from None
    return read_object(msgspec.json.encode({name: v for name, v in fields.items() if name not in IGNORED_NAMES}))


def _is_unusual(raw: bytes) -> bool:
    """True for what only the general way reads right; the fast one passes over fields without looking into them."""
    return (
        raw.count(b"{") + raw.count(b"[") > MAX_DEPTH
        or len(raw) > MAX_NUMBER_DIGITS
        or (b"\\" in raw and mark_unstorable(raw)[1])
        or not (raw.isascii() or _is_utf8(raw))
    )


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _decode_fast(raw: bytes, context: Context) -> Event | Skipped | None:
    try:
        return _make_event(_decode_record(raw), context)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, RecordError):
        return None


def _make_event(record: Any, context: Context) -> Event | Skipped:
    event_type = record.event_type
    if not event_type or event_type.isspace():
        return Skipped("no event_type")
    if event_type in SESSION_TYPES:
        return Skipped("session_start or session_end")
    moment, is_passed_over = _read_time(record, context)
    event = Event(
        moment,
        TYPES.get(event_type, event_type),
        user_id=_trim(record.user_id),
        anonymous_id=_trim(record.device_id),
        session_id=None if record.session_id is None or record.session_id in OUT_OF_SESSION else str(record.session_id),
        source_event_id=_read_own_id(record),
        payload=make_payload(record),
        tenant=str(record.app) if record.app not in (None, "") else context.tenant,
    )
    check_lengths(event)
    context.notes["future_times_passed_over"] += is_passed_over
    if record.group_properties and context.options.get("generate_group_identify_events"):
        groups = {kind: found for kind, found in record.group_properties.items() if isinstance(found, dict)}
        plain = {name: getattr(event, name) for name in Event.__struct_fields__}
        return _Grouped(**plain, group_properties=groups)
    return event


def _read_time(record: Any, context: Context) -> tuple[datetime, bool]:
    """The first time there is that is not in the future, and whether one was: clocks of devices may be wrong."""
    future: datetime | None = None
    for text in (record.event_time, record.client_event_time, record.server_received_time):
        if not text:
            continue
        moment = _parse_time(text)
        if moment <= context.latest:
            if moment < EPOCH:
                check_range(moment, context.latest)
            return moment, future is not None
        future = moment
    if future is not None:
        check_range(future, context.latest)
    raise RecordError("missing_time", f"no time: expected one of {', '.join(TIME_NAMES)}")


def _parse_time(text: str) -> datetime:
    """A time as Amplitude writes it, or as anybody does."""
    if len(text) > 18 and text[10] == " " and text[-1].isdecimal() and "+" not in text and text.count("-") == 2:
        try:
            return datetime.fromisoformat(text).replace(tzinfo=UTC)
        except ValueError:
            pass  # told by the general way
    return parse_time(text)[0]


def _read_own_id(record: Any) -> str | None:
    if record.uuid:
        return str(record.uuid)
    if record.insert_id:
        return encode_value([record.insert_id, record.device_id or ""]).decode()
    return None


def _trim(value: str | int | None) -> str | None:
    return (str(value).strip() or None) if value is not None else None
