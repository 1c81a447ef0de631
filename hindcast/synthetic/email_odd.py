"""Odd records of an email engagement export: what each is made from an ordinary one, and what must become of it.

Addresses and phone numbers are put where they do not belong, in every coding: none may survive an import.
"""

import json
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

from hindcast.synthetic.planted import CONFLICT, DUPLICATE, Planted, Source, staged
from hindcast.synthetic.planted import write_record as write_compact

Make = Callable[[Source, str, str, str], Planted]  # from a line, with a new id, its person's address and phone


def repeated(source: Source, new_id: str, address: str, phone: str) -> Planted:
    """The same line again."""
    return staged(source, source.text, DUPLICATE, naive=True)


def respelt(source: Source, new_id: str, address: str, phone: str) -> Planted:
    """The same record with other spacing, order of keys, and case of the address."""
    record = dict(reversed(source.record().items()))
    if record["recipient_email"]:
        record["recipient_email"] = f"\t{address.title()} "
    return staged(source, json.dumps(record, indent=None), DUPLICATE, naive=True)


def contradicting(source: Source, new_id: str, address: str, phone: str) -> Planted:
    """The same event id with another subject, which names the recipient."""
    return staged(source, source.record() | {"subject": f"Not for {address}"}, CONFLICT, naive=True)


def moved(source: Source, new_id: str, address: str, phone: str) -> Planted:
    """The same event id a moment later."""
    record = source.record()
    record["timestamp"] = record["timestamp"][:-1] + ("1" if record["timestamp"][-1] == "0" else "0")
    step = 1 if record["timestamp"][-1] == "1" else -int(source.record()["timestamp"][-1])
    return staged(source, record, CONFLICT, naive=True, at_ms=source.at_ms + step)


def broken_off(source: Source, new_id: str, address: str, phone: str) -> Planted:
    """A line that ends in the middle of an address."""
    text = source.text.replace('"recipient_email":null', f'"recipient_email":"{address}"')
    return Planted(text[: text.index('"recipient_email"') + 20 + len(address)], "malformed_json")


def not_utf8(source: Source, new_id: str, address: str, phone: str) -> Planted:
    """A byte that is no UTF-8 beside a phone number."""
    return Planted(write_compact(source.record() | {"subject": f"call {phone} \udcff"}), "invalid_utf8")


def nobody(source: Source, new_id: str, address: str, phone: str) -> Planted:
    """Nothing says who it is about, except a text."""
    record = _without_recipient(source) | {"subject": f"For {address}", "user_agent": None, "ip_address": None}
    return Planted(write_compact(record), "no_identifier")


def other_type(source: Source, new_id: str, address: str, phone: str) -> Planted:
    """An event type that is none of the seven."""
    return Planted(write_compact(source.record() | {"event_type": "forwarded"}), "invalid_event_type")


def other_esp(source: Source, new_id: str, address: str, phone: str) -> Planted:
    """An address where the ESP should be."""
    return Planted(write_compact(source.record() | {"esp": address}), "invalid_esp")


def other_bounce(source: Source, new_id: str, address: str, phone: str) -> Planted:
    """A bounce that is neither hard nor soft."""
    return Planted(write_compact(source.record() | {"bounce_type": "medium"}), "invalid_bounce_type")


def without_time(source: Source, new_id: str, address: str, phone: str) -> Planted:
    """No timestamp."""
    return Planted(write_compact(source.record() | {"timestamp": None}), "missing_time")


def other_time(source: Source, new_id: str, address: str, phone: str) -> Planted:
    """An address where the timestamp should be."""
    return Planted(write_compact(source.record() | {"timestamp": address}), "invalid_time")


def array(source: Source, new_id: str, address: str, phone: str) -> Planted:
    """A record that is an array."""
    return Planted(f"[{source.text}]", "not_an_object")


def in_subject(source: Source, new_id: str, address: str, phone: str) -> Planted:
    """The address and the phone in the subject, in capitals and with dashes."""
    subject = f"{address.upper()}, call {phone[:3]}-{phone[3:6]}-{phone[6:]} or +1 {phone}"
    return _loaded(source, {"event_id": new_id, "recipient_phone": phone, "subject": subject})


def in_url(source: Source, new_id: str, address: str, phone: str) -> Planted:
    """The address in a link, percent-encoded once and twice."""
    once = quote(address, safe="")
    url = f"https://shop.example.com/u?e={once}&again={quote(once, safe='')}&m=mailto:{address}&p=%2B1{phone}"
    return _loaded(source, {"event_id": new_id, "click_url": url})


def in_metadata(source: Source, new_id: str, address: str, phone: str) -> Planted:
    """The address in metadata: as a key, deep inside, under a name of its own; the phone as a number."""
    metadata = source.record()["metadata"]
    extra = {address: {"list": [[f"<{address}>"]]}, "replyEmail": address, "sms_number": int(phone)}
    return _loaded(source, {"event_id": new_id, "metadata": metadata | extra})


def escaped(source: Source, new_id: str, address: str, phone: str) -> Planted:
    """The address with its at sign and its first letter as JSON escapes, in two fields."""
    hidden = f"\\u{ord(address[0]):04x}{address[1:]}".replace("@", "\\u0040")
    text = write_compact(source.record() | {"event_id": new_id, "subject": "SUBJECT"})
    return staged(source, text.replace("SUBJECT", f"Dear {hidden}"), naive=True)


def with_nul(source: Source, new_id: str, address: str, phone: str) -> Planted:
    """A character that PostgreSQL cannot hold."""
    return _loaded(source, {"event_id": new_id, "subject": "one\x00two"}, sanitised=True)


def zoned(source: Source, new_id: str, address: str, phone: str) -> Planted:
    """A time with its zone written."""
    record = source.record()
    return staged(source, record | {"event_id": new_id, "timestamp": record["timestamp"] + "+00:00"})


KINDS: Final[tuple[Make, ...]] = (
    repeated, in_subject, broken_off, respelt, in_url, nobody, contradicting, in_metadata, other_type, moved, escaped,
    not_utf8, zoned, other_esp, with_nul, other_bounce, without_time, other_time, array,
)  # fmt: skip


def _loaded(source: Source, changes: dict[str, Any], **facts: Any) -> Planted:
    return staged(source, source.record() | changes, naive=True, **facts)


def _without_recipient(source: Source) -> dict[str, Any]:
    names = ("recipient_id", "recipient_email", "recipient_phone", "klaviyo_id", "shopify_customer_id")
    return {name: value for name, value in source.record().items() if name not in names}
