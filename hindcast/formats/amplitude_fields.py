"""The fields of an Amplitude record: which there are, and how they become an event's payload and back."""

from typing import Any, Final

import msgspec

from hindcast.canonical import decode_value, encode_value
from hindcast.errors import RecordError
from hindcast.event import Event
from hindcast.formats.reading import name_type
from hindcast.times import format_utc

_Object = dict[str, Any]
UNSET: Final = "EMPTY"  # how Amplitude writes attribution that there is none of

# Known, and not mapped to anything.
_NOT_MAPPED: Final = (
    "$insert_key", "$schema", "adid", "amplitude_attribution_ids", "amplitude_event_type", "amplitude_id",
    "client_upload_time", "data", "data_type", "device_brand", "device_carrier", "device_family",
    "device_manufacturer", "device_model", "dma", "global_user_properties", "idfa", "is_attribution_event", "language",
    "library", "location_lat", "location_lng", "os_version", "partner_id", "paying", "plan", "platform",
    "processed_time", "sample_rate", "server_upload_time", "source_id", "start_version", "user_creation_time",
    "version_name",
)  # fmt: skip
IGNORED_NAMES: Final = frozenset(_NOT_MAPPED)


class _Mapped(msgspec.Struct, gc=False):
    """The fields that are mapped; almost any may be null."""

    event_type: str | None = None
    event_time: str | None = None
    client_event_time: str | None = None
    server_received_time: str | None = None
    uuid: str | None = None
    insert_id: str | None = msgspec.field(name="$insert_id", default=None)
    app: int | str | None = None
    user_id: str | int | None = None
    device_id: str | None = None
    session_id: int | None = None
    event_id: int | None = None
    city: str | None = None
    country: str | None = None
    region: str | None = None
    ip_address: str | None = None
    os_name: str | None = None
    device_type: str | None = None
    event_properties: _Object | None = None
    user_properties: _Object | None = None
    groups: _Object | None = None
    group_properties: _Object | None = None


# Raw: skipped without being made into values. What is in neither makes the record take the general way.
Record: Any = msgspec.defstruct(
    "Record",
    [
        (f"ignored_{n}", msgspec.Raw, msgspec.field(name=name, default=msgspec.Raw()))
        for n, name in enumerate(_NOT_MAPPED)
    ],
    bases=(_Mapped,),
    forbid_unknown_fields=True,
    gc=False,
)

_SIMPLE: Final = (
    ("$geoip_country_name", "country"),
    ("$geoip_city_name", "city"),
    ("$geoip_subdivision_1_name", "region"),
    ("$ip", "ip_address"),
    ("$browser", "os_name"),
    ("$os", "device_type"),
)
_IDS: Final = (
    ("$amplitude_user_id", "user_id"),
    ("$amplitude_device_id", "device_id"),
    ("$device_id", "device_id"),
    ("$amplitude_event_id", "event_id"),
    ("$amplitude_session_id", "session_id"),
)
_PAGE: Final = (
    ("[Amplitude] Page URL", "$current_url"),
    ("[Amplitude] Page Domain", "$host"),
    ("[Amplitude] Page Path", "$pathname"),
)
_DEVICE_KINDS: Final = {"Windows": "Desktop", "Linux": "Desktop", "iOS": "Mobile", "Android": "Mobile"}
_TYPES: Final = {field.name: field for field in msgspec.structs.fields(_Mapped)}


def read_record(fields: _Object) -> Any:
    """The mapped fields of a decoded record; raises RecordError `invalid_type` naming the field."""
    known = {field.encode_name: fields[field.encode_name] for field in _TYPES.values() if field.encode_name in fields}
    try:
        return msgspec.convert(known, _Mapped)
    except msgspec.ValidationError as error:
        path = str(error).rpartition("`$")[2].rstrip("`").lstrip(".")
        name = path.split("[")[0].split(".")[0] if path else ""
        raise RecordError("invalid_type", f"{name} is {name_type(known.get(name))}: {_expected(name)}") from None


def make_payload(record: Any) -> _Object:
    """What of a record goes into the payload; a mapped field wins over an event property of the same name."""
    payload: _Object = dict(record.event_properties) if record.event_properties else {}
    for source, name in _PAGE:
        if payload.get(source) is not None:
            payload[name] = payload[source]
    for name, field in _SIMPLE:
        value = getattr(record, field)
        if value:
            payload[name] = value
    if record.device_type in _DEVICE_KINDS:
        payload["$device_type"] = _DEVICE_KINDS[record.device_type]
    for name, field in _IDS:
        value = getattr(record, field)
        if value or (value == 0 and name == "$amplitude_user_id"):  # of a session and an event 0 is none
            payload[name] = value
    groups = _first_keys(record.groups) if record.groups else None
    if groups:
        payload["$groups"] = groups
    if record.user_properties:
        payload["$set"] = record.user_properties
        once = _first_values(record.user_properties)
        if once:
            payload["$set_once"] = once
    return payload


def encode_fields(event: Event) -> _Object:
    """The fields of a record that decodes to this event; its type is as the event's.

    What decoding would not give back as it is remains an event property, where everything is kept.
    """
    rest = dict(event.payload)
    fields: _Object = {"event_type": event.event_type, "event_time": format_utc(event.occurred_at)}
    if event.tenant:
        fields["app"] = event.tenant
    if event.user_id is not None:
        fields["user_id"] = rest.pop("$amplitude_user_id", event.user_id)
    if event.anonymous_id is not None:
        fields["device_id"] = rest.pop("$amplitude_device_id", event.anonymous_id)
        rest.pop("$device_id", None)
    if event.source_event_id is not None:
        fields |= _encode_own_id(event.source_event_id, fields.get("device_id", ""))
    return fields | _take_fields(event, rest) | _take_properties(rest) | {"event_properties": rest}


def _encode_own_id(own_id: str, device: str) -> _Object:
    if own_id.startswith("["):  # an `$insert_id` with this device, or a `uuid` that happens to look like one
        try:
            insert_id = decode_value(own_id)[0]
        except (msgspec.DecodeError, RecordError, LookupError):
            return {"uuid": own_id}
        if insert_id and isinstance(insert_id, str) and own_id == encode_value([insert_id, device]).decode():
            return {"$insert_id": insert_id}
    return {"uuid": own_id}


def _take_fields(event: Event, rest: _Object) -> _Object:
    """Move what has a field of its own out of the payload."""
    found: _Object = {}
    for name, field in _SIMPLE:
        value = rest.get(name)
        if not value or not isinstance(value, str):
            continue
        if field == "device_type" and value in _DEVICE_KINDS:
            if rest.get("$device_type") != _DEVICE_KINDS[value]:
                continue
            del rest["$device_type"]
        found[field] = rest.pop(name)
    if type(rest.get("$amplitude_event_id")) is int and rest["$amplitude_event_id"]:
        found["event_id"] = rest.pop("$amplitude_event_id")
    if event.session_id is not None or encode_value(rest.get("$amplitude_session_id")) == b"-1":
        found["session_id"] = rest.pop("$amplitude_session_id")
    return found


def _take_properties(rest: _Object) -> _Object:
    """Move groups and user properties out of the payload."""
    found: _Object = {}
    groups = rest.get("$groups")
    if groups and isinstance(groups, dict) and all(key and isinstance(key, str) for key in groups.values()):
        found["groups"] = {kind: [key] for kind, key in rest.pop("$groups").items()}
    properties = rest.get("$set")
    if properties and isinstance(properties, dict):
        once = _first_values(properties)
        if not once or encode_value(once) == encode_value(rest.get("$set_once")):
            found["user_properties"] = rest.pop("$set")
            if once:
                del rest["$set_once"]
    return found


def _first_keys(groups: _Object) -> _Object:
    found = {}
    for kind, keys in groups.items():
        first = keys[0] if isinstance(keys, list) and keys else keys
        if isinstance(first, str | int) and first != "":
            found[kind] = first if isinstance(first, str) else encode_value(first).decode()
    return found


def _first_values(properties: _Object) -> _Object:
    return {
        f"${name}": value
        for name, value in properties.items()
        if name.startswith("initial_") and value is not None and value != UNSET
    }


def _expected(name: str) -> str:
    if name in ("session_id", "event_id"):
        return "expected an integer"
    if name in ("event_properties", "user_properties", "groups", "group_properties"):
        return "expected an object"
    return "expected a string"
