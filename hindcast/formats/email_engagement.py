"""`email_engagement`: JSON lines from SendFlowr, what became of messages by email, SMS and push.

Times carry no zone and are UTC. Identity: `event_id` (and the time). Addresses and phone numbers are hashed before
anything else sees them; who the recipient is, is settled when loading (hindcast/people.py).
Field rules: docs/formats/email_engagement.md.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from hindcast.canonical import check_depth, encode_value, mark_unstorable
from hindcast.errors import RecordError
from hindcast.event import Event, Skipped
from hindcast.formats.base import Context, Option
from hindcast.formats.email_engagement_bots import suspect_bot
from hindcast.formats.email_engagement_privacy import (
    Hasher,
    hide,
    hide_common,
    hide_text,
    holds_nothing_else,
    is_address,
    normalise_phone,
    redact,
)
from hindcast.formats.reading import name_type, read_object, read_objects
from hindcast.times import check_range, format_utc, parse_time

NAME: Final = "email_engagement"
OPTIONS: Final[dict[str, Option]] = {}
EVENT_TYPES: Final = ("sent", "delivered", "opened", "clicked", "bounced", "unsubscribed", "marked_spam")
ESPS: Final = ("klaviyo", "sendgrid", "mailchimp", "braze", "twilio", "messagebird", "onesignal", "firebase")
BOUNCE_TYPES: Final = ("hard", "soft")
# What a recipient is known by, in the order of looking up, and how sure each is of who it is.
IDENTIFIERS: Final[dict[str, float]] = {
    "email_hash": 1,  # whole numbers are written without a fraction in the canonical form
    "phone_hash": 1,
    "klaviyo_id": 0.95,
    "shopify_customer_id": 0.9,
    "esp_user_id": 0.85,
    "device": 0.5,
}
EMAIL_NAMES: Final = ("recipient_email", "email", "email_address")
PHONE_NAMES: Final = ("recipient_phone", "phone", "phone_number", "mobile")
LONGEST_ID: Final = 1_000

__all__ = ["IDENTIFIERS", "NAME", "OPTIONS", "decode", "detect", "encode", "identifiers", "redact"]

_OWN_IDS: Final = ("klaviyo_id", "shopify_customer_id", "esp_user_id")
_HASHES: Final = ("email_hash", "phone_hash")
_DERIVED: Final = ("identifiers", "identity_confidence", "suspected_bot", "bot_reasons")
_COLUMNS: Final = ("event_id", "event_type", "timestamp", "user_agent")
_NOT_IN_PAYLOAD: Final = frozenset((*_COLUMNS, *_OWN_IDS, *_HASHES, *_DERIVED, *EMAIL_NAMES, *PHONE_NAMES))
KNOWN_NAMES: Final = _NOT_IN_PAYLOAD | {
    "esp", "recipient_id", "campaign_id", "campaign_name", "message_id", "subject", "click_url", "bounce_type",
    "ip_address", "metadata", "ingested_at", "delivered_at",
}  # fmt: skip
_HEX: Final = frozenset("0123456789abcdef")


def detect(records: list[bytes]) -> str | None:
    """Evidence: most records name an ESP and one of the seven event types, and have a timestamp."""
    own = 0
    for fields in read_objects(records):
        own += "esp" in fields and "timestamp" in fields and fields.get("event_type") in EVENT_TYPES
    if own * 2 > len(records):
        return f"{own} of the first {len(records)} records name an ESP, a timestamp and what became of a message"
    return None


def decode(raw: bytes, context: Context) -> Event | Skipped:
    """Read one record; raises RecordError with the rule it breaks."""
    check_depth(raw)
    raw, is_sanitised = mark_unstorable(raw)
    fields = read_object(raw)
    hasher = Hasher(context.pii_key)
    event_type = _read_choice(fields, "event_type", EVENT_TYPES)
    moment, is_naive = _read_time(fields)
    check_range(moment, context.latest)
    fields["esp"] = _read_choice(fields, "esp", ESPS)
    if fields.get("bounce_type") is not None:
        fields["bounce_type"] = _read_choice(fields, "bounce_type", BOUNCE_TYPES)
    for name in fields.keys() - KNOWN_NAMES:
        context.count_unknown(name)
    own_id, user_agent = _read_id(fields, "event_id"), _read_id(fields, "user_agent")
    found, own = _read_identifiers(fields, user_agent, hasher, context)
    if not found:
        raise RecordError("no_identifier", "nothing says who the recipient is: expected an address, a phone or an id")
    payload = {name: value for name, value in fields.items() if name not in _NOT_IN_PAYLOAD}
    left_out = sum(str(fields[name]).count("@") for name in EMAIL_NAMES if name in fields)
    if not holds_nothing_else(raw, left_out):
        payload = hide(payload, hasher, own)
        user_agent = user_agent and hide_common(user_agent, hasher, own)
        own_id = own_id and hide_text(own_id, hasher, own)
    payload["identifiers"] = found
    payload["identity_confidence"] = IDENTIFIERS[next(iter(found))]
    reasons = suspect_bot(event_type, user_agent, payload, moment)
    if reasons:
        payload |= {"suspected_bot": True, "bot_reasons": reasons}
    return Event(
        moment,
        event_type,
        user_agent=user_agent,
        source_event_id=own_id,
        payload=payload,
        tenant=context.tenant,
        is_naive=is_naive,
        is_sanitised=is_sanitised,
    )


def encode(event: Event) -> bytes:
    """Write an event as a record that decodes to the same event; of addresses only the hashes are left."""
    fields = {name: value for name, value in event.payload.items() if name not in _DERIVED}
    found = event.payload["identifiers"]
    fields |= {name: found[name] for name in (*_HASHES, "klaviyo_id", "shopify_customer_id") if name in found}
    if "esp_user_id" in found:
        fields["esp_user_id"] = found["esp_user_id"].partition(":")[2]
    fields |= {"event_type": event.event_type, "timestamp": format_utc(event.occurred_at)}
    if event.is_naive:
        fields["timestamp"] = fields["timestamp"].removesuffix("Z")
    if event.source_event_id is not None:
        fields["event_id"] = event.source_event_id
    if event.user_agent is not None:
        fields["user_agent"] = event.user_agent
    return encode_value(fields)


def identifiers(event: Event) -> dict[str, str]:
    """What the recipient of an event is known by: kind to value, in the order of looking up."""
    found: dict[str, str] = event.payload["identifiers"]
    return found


def _read_choice(fields: dict[str, Any], name: str, choices: tuple[str, ...]) -> str:
    value = fields.get(name)
    if value is None or value == "":
        raise RecordError(f"missing_{name}", f"no {name}: expected one of {', '.join(choices)}")
    if not isinstance(value, str):
        raise RecordError("invalid_type", f"{name} is {name_type(value)}: expected a string")
    chosen = value.strip().lower()
    if chosen not in choices:
        raise RecordError(f"invalid_{name}", f"{name} {value[:40]!r}: expected one of {', '.join(choices)}")
    return chosen


def _read_time(fields: dict[str, Any]) -> tuple[datetime, bool]:
    time = fields.get("timestamp")
    if time is None or time == "":
        raise RecordError("missing_time", "no timestamp: expected a UTC time like 2025-10-01T09:15:22")
    return parse_time(time)


def _read_id(fields: dict[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is None or isinstance(value, str):
        text = value or None
    elif isinstance(value, int) and not isinstance(value, bool):
        text = str(value)
    else:
        raise RecordError("invalid_type", f"{name} is {name_type(value)}: expected a string")
    if text and len(text) > LONGEST_ID:
        raise RecordError("value_too_long", f"{name} of {len(text)} characters: expected at most {LONGEST_ID}")
    return text


def _read_identifiers(
    fields: dict[str, Any], user_agent: str | None, hasher: Hasher, context: Context
) -> tuple[dict[str, str], frozenset[str]]:
    """The identifiers in the order of looking up, and the address and number themselves, to be hidden elsewhere."""
    metadata = fields.get("metadata")
    sources = (fields, metadata) if isinstance(metadata, dict) else (fields,)
    address = _find(sources, (*EMAIL_NAMES, "recipient_id"), _read_address)
    if not address and any(map(fields.get, EMAIL_NAMES)):
        context.notes["invalid_addresses"] += 1
    number = _find(sources, PHONE_NAMES, _read_number)
    if not number and any(map(fields.get, PHONE_NAMES)):
        context.notes["invalid_phones"] += 1
    hidden = {
        "email_hash": hasher.email(address) if address else _read_hash(fields, "email_hash"),
        "phone_hash": hasher.phone(number) if number else _read_hash(fields, "phone_hash"),
    }
    own = frozenset(filter(None, (address, number)))
    ids: dict[str, str | None] = {name: _find_id(sources, name) for name in _OWN_IDS}
    ids["esp_user_id"] = ids["esp_user_id"] or _read_id(fields, "recipient_id")
    shown = {name: value and hide_text(value.strip(), hasher, own) for name, value in ids.items()}
    if shown["esp_user_id"]:
        shown["esp_user_id"] = f"{fields['esp']}:{shown['esp_user_id']}"
    ip_address = fields.get("ip_address")
    if isinstance(ip_address, str) and ip_address and user_agent:
        shown["device"] = hasher.text(f"{ip_address.strip()}\n{hide_common(user_agent, hasher, own)}")
    return {name: value for name, value in (hidden | shown).items() if value}, own


def _find(sources: tuple[dict[str, Any], ...], names: tuple[str, ...], read: Callable[[Any], str | None]) -> str | None:
    """The first value under these names that can be read, in source after source."""
    for source in sources:
        for name in names:
            value = source.get(name)
            if value and (found := read(value)):
                return found
    return None


def _read_address(value: Any) -> str | None:
    return value.strip().lower() if isinstance(value, str) and is_address(value) else None


def _read_number(value: Any) -> str | None:
    return normalise_phone(value) if isinstance(value, str | int) and not isinstance(value, bool) else None


def _find_id(sources: tuple[dict[str, Any], ...], name: str) -> str | None:
    for source in sources:
        if found := _read_id(source, name):
            return found
    return None


def _read_hash(fields: dict[str, Any], name: str) -> str | None:
    """A hash that the source made itself, of the same form."""
    value = fields.get(name)
    text = value.strip().lower() if isinstance(value, str) else ""
    return text if len(text) == 64 and _HEX.issuperset(text) else None
