"""A sixth format, as small as one can be: who went through which door. It derives events of both kinds."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import msgspec

from hindcast.canonical import decode_value, encode_value
from hindcast.errors import RecordError
from hindcast.event import Event, Skipped
from hindcast.formats.base import Context, Option
from hindcast.formats.derived_events import Derived
from hindcast.times import check_range, format_utc, parse_time

NAME: Final = "door_log"
OPTIONS: Final = {
    "first_visits": Option(True, "tell each person's first time at a door"),
    "import_events": Option(True, "import the visits themselves"),
}


def detect(records: list[bytes]) -> str | None:
    return f"{len(records)} records have a door" if all(b'"door"' in raw for raw in records) else None


def decode(raw: bytes, context: Context) -> Event | Skipped:
    fields = decode_value(raw)
    if fields.get("test"):
        return Skipped("a test of the door")
    if "door" not in fields:
        raise RecordError("missing_door", "no door")
    moment, is_naive = parse_time(fields["at"])
    check_range(moment, context.latest)
    return Event(
        moment,
        "visit",
        user_id=fields.get("who"),
        payload={"door": fields["door"]} | ({"colour": fields["colour"]} if "colour" in fields else {}),
        source_event_id=fields.get("id"),
        tenant=context.tenant,
        is_naive=is_naive,
    )


def encode(event: Event) -> bytes:
    fields: dict[str, Any] = {"at": format_utc(event.occurred_at), "who": event.user_id, **event.payload}
    return encode_value(fields | ({"id": event.source_event_id} if event.source_event_id else {}))


def redact(text: str) -> str:
    return text


def derive(event: Event, options: Mapping[str, bool]) -> list[Derived]:
    found = []
    door = event.payload["door"]
    if event.user_id and options["first_visits"]:
        key = make_key("first", event.tenant, event.user_id, door)
        first = msgspec.structs.replace(event, event_type="$first_visit", payload={"door": door})
        first.source_event_id = f"$first_visit:{UUID(bytes=key)}"
        found.append(Derived(key, first))
    if "colour" in event.payload:
        key = make_key("door", event.tenant, door)
        own_id = f"$door:{UUID(bytes=key)}:{format_utc(event.occurred_at)}"
        painted = Event(event.occurred_at, "$door", tenant=event.tenant, payload={"door": door}, source_event_id=own_id)
        found.append(Derived(key, painted, {"colour": event.payload["colour"]}))
    return found


def describe_change(event: Event, before: Any, after: Any) -> Event | None:
    return (
        None
        if before == after
        else msgspec.structs.replace(event, payload=event.payload | {"from": before, "to": after})
    )


def make_key(*values: str) -> bytes:
    return sha256(encode_value(list(values))).digest()[:16]
