"""The `email_engagement` format: gold cases written from its documentation, properties, and what it hides."""

import json
import string
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from gold_cases import check_case, decide, show
from hypothesis import given
from hypothesis import strategies as st

from hindcast.canonical import encode_value
from hindcast.errors import RecordError
from hindcast.event import Event, identify
from hindcast.formats import detect_format, email_engagement
from hindcast.formats.base import Context
from hindcast.formats.email_engagement import (
    BOUNCE_TYPES,
    ESPS,
    EVENT_TYPES,
    IDENTIFIERS,
    KNOWN_NAMES,
    decode,
    encode,
    redact,
)
from hindcast.formats.email_engagement_privacy import (
    Hasher,
    hide_common,
    hide_text,
    is_email_key,
    is_phone_key,
    normalise_phone,
)

GOLD = Path(__file__).parent / "gold" / "email_engagement"
LATEST = datetime(2030, 1, 1, tzinfo=UTC)
FULL = (GOLD / "a_record_with_every_field" / "input.jsonl").read_bytes().splitlines()
ADDRESS = "ada.lovelace@example.com"

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=40)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
ids = st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=20)
words = st.text("qxzjkvw0123456789", min_size=1, max_size=6).map("qxz{}jq".format)  # in nothing else of an event
addresses = st.builds("{}.{}@{}.{}".format, words, words, words, st.sampled_from(["com", "org", "co.uk"]))
records = st.fixed_dictionaries(
    {
        "event_type": st.sampled_from(EVENT_TYPES),
        "esp": st.sampled_from(ESPS),
        "timestamp": st.datetimes(datetime(1970, 1, 1), datetime(2029, 1, 1)).map(datetime.isoformat),
        "recipient_email": addresses,
    },
    optional={
        "event_id": ids,
        "recipient_id": ids,
        "recipient_phone": st.integers(10**9 * 2, 10**10 - 1),
        "klaviyo_id": ids,
        "shopify_customer_id": ids,
        "bounce_type": st.none() | st.sampled_from(BOUNCE_TYPES),
        "subject": text,
        "click_url": text,
        "message_id": text,
        "user_agent": text,
        "ip_address": text,
        "metadata": values,
    },
)


def make_context(key: bytes | None = None) -> Context:
    return Context(latest=LATEST, pii_key=key)


def read(record: dict[str, Any], key: bytes | None = None) -> Event:
    event = decode(json.dumps(record).encode(), make_context(key))
    assert isinstance(event, Event)
    return event


def record(**fields: Any) -> dict[str, Any]:
    return {
        "event_id": "1", "event_type": "sent", "timestamp": "2025-10-01T09:15:22", "esp": "klaviyo",
        "recipient_email": ADDRESS,
    } | fields  # fmt: skip


@pytest.mark.parametrize("case", sorted(folder.name for folder in GOLD.iterdir()))
def test_records_are_read_as_documented(case: str) -> None:
    check_case(email_engagement, GOLD / case, make_context())


@given(records)
def test_decoding_what_was_encoded_gives_the_same_event(record: dict[str, Any]) -> None:
    event = read(record)
    again = decode(encode(event), make_context())
    assert show(again) == show(event) | ({"is_sanitised": True} if again.is_sanitised else {})
    assert identify(again, "s") == identify(event, "s")


@given(records, st.sampled_from([None, b"secret"]), st.data())
def test_an_address_put_anywhere_is_nowhere_in_the_event(
    record: dict[str, Any], key: bytes | None, data: st.DataObject
) -> None:
    address = record["recipient_email"]
    coded = data.draw(
        st.sampled_from([address, address.upper(), address.replace("@", "%40"), address.replace("@", "%2540"),
                         f"<{address}>", f"mailto:{address}?x", address.replace("@", "&#64;"),
                         address.replace("@", "＠"), address.replace("@", "\\u0040")])
    )  # fmt: skip
    for name in ("subject", "click_url", "message_id", "user_agent", "event_id"):
        record[name] = f"a {coded} b"
    record |= {"metadata": {"x": [{coded: coded}], "email": address}, "recipient_id": address, "more": coded}
    shown = encode_value(show(read(record, key))).decode().lower()
    assert address.partition("@")[0] not in shown


@given(records)
def test_what_was_hidden_is_hidden_from_a_reject_too(record: dict[str, Any]) -> None:
    address = record["recipient_email"]
    for raw in (json.dumps(record), json.dumps(record)[:-3], json.dumps(record).replace("@", "\\u0040")):
        assert address not in redact(raw).lower()


@pytest.mark.parametrize(
    "line",
    [
        '{"recipient_email": "ada at example dot com", "x": 1}',
        '{"recipientPhone": 4155550100',
        '"subject": "call +1 (415) 555-0100"',
        "415.555.0100 4155550100 0014155550100",
        '{"x":"ada%40example.com ada\\u0040example.com ada&#64;example.com %61da%40example.com"}',
        "\\u0061\\u0064\\u0061\\u0040example.com",
        "time 'ada@example.com': expected",
    ],
)
def test_personal_values_are_hidden_in_lines_that_are_no_json(line: str) -> None:
    shown = redact(line)
    assert "[redacted]" in shown
    assert not any(personal in shown.lower() for personal in ("ada", "555", "\\u0061"))


def test_times_and_network_addresses_stay_in_rejects() -> None:
    line = (
        '{"timestamp":"2025-10-01 09:15:22","ip_address":"192.168.100.200","event_id":"019ba56a-d280-75e5-80b0-2dec"}'
    )
    assert redact(line) == line


@pytest.mark.parametrize(
    "hostile",
    ["%40" * 1300, "a" * 4000, "a%40" * 1000, "a." * 2000, "@" * 4000, '"email":"' + "\\" * 4000, "a%2B" * 1000,
     "1 " * 2000, "a@a." * 1000, "a@" * 2000, '"email' * 700, "(1" * 2000, "+1" * 2000],
)  # fmt: skip
def test_hostile_text_does_not_make_hiding_slow(hostile: str) -> None:
    began = time.process_time()
    redact(hostile)
    hide_text(hostile, Hasher(None), frozenset({ADDRESS}))
    assert time.process_time() - began < 2  # minutes, where a pattern backtracks


@given(
    st.lists(
        st.sampled_from(
            ["campaign_id", "k", ADDRESS, "ada%40b.co", "&#64;", "\\u0040", "＠", "+14155550100", "415", " ", "5550100"]
        ),
        max_size=4,
    ).map("".join)
    | st.text(max_size=30)
)
def test_in_keys_as_much_is_hidden_as_in_other_texts(text: str) -> None:
    for own in (frozenset[str](), frozenset({ADDRESS, "+14155550100"})):
        for _ in range(2):  # the second time it is remembered
            assert hide_common(text, Hasher(None), own) == hide_text(text, Hasher(None), own)


def test_a_secret_changes_every_hash() -> None:
    plain, keyed = (read(record(recipient_phone="4155550100"), key).payload["identifiers"] for key in (None, b"k"))
    assert plain.keys() == keyed.keys()
    assert not set(plain.values()) & set(keyed.values())
    assert all(len(value) == 64 for value in (*plain.values(), *keyed.values()))


@pytest.mark.parametrize(
    ("written", "number"),
    [("4155550100", "+14155550100"), ("1 415 555 0100", "+14155550100"), ("+44 20 7946 0000", "+442079460000"),
     ("0044 20 7946 0000", "+442079460000"), (4155550100, "+14155550100"), ("555-0100", None), ("+1", None),
     ("call me", None), ("1" * 16, None), ("٤١٥٥٥٥٠١٠٠", None)],
)  # fmt: skip
def test_phones_are_brought_to_one_form(written: str | int, number: str | None) -> None:
    assert normalise_phone(written) == number


def test_keys_that_name_personal_values_are_known() -> None:
    assert all(map(is_email_key, ("email", "recipientEmail", "to_email_address", "EMAIL", "reply_mail")))
    assert all(map(is_phone_key, ("phone", "mobileNumber", "sms_number", "cell")))
    assert not any(map(is_email_key, ("email_client", "emails_sent", "gmailer")))


def test_identifiers_are_given_in_the_order_of_looking_up() -> None:
    event = read(
        record(klaviyo_id="k", recipient_phone="4155550100", recipient_id="r", ip_address="1.1.1.1", user_agent="x")
    )
    found = list(email_engagement.identifiers(event))
    assert found == [kind for kind in IDENTIFIERS if kind in found]
    assert len(found) == 5


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_and_nothing_else_happens(raw: bytes) -> None:
    with pytest.raises(RecordError):
        decode(raw, make_context())


@given(st.sampled_from(FULL), st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=3)), max_size=6))
def test_a_mutated_record_is_decoded_or_refused_and_nothing_else_happens(
    raw: bytes, changes: list[tuple[int, bytes]]
) -> None:
    for at, put in changes:
        raw = raw[:at] + put + raw[at + 1 :]
    decide(email_engagement, raw, make_context())


@given(st.dictionaries(st.sampled_from(sorted(KNOWN_NAMES)), values, max_size=5))
def test_any_value_in_any_field_is_decoded_or_refused(fields: dict[str, Any]) -> None:
    decide(email_engagement, json.dumps(record() | fields).encode(), make_context())


def test_the_format_is_detected_with_evidence() -> None:
    name, evidence = detect_format(FULL)
    assert name == "email_engagement"
    assert "of the first 5 records name an ESP" in evidence


def test_records_of_a_tenant_are_told_apart() -> None:
    assert decode(FULL[0], Context(latest=LATEST, tenant="acme")).tenant == "acme"


def test_unknown_properties_are_kept_and_counted() -> None:
    context = make_context()
    event = decode(json.dumps(record(extra=[ADDRESS])).encode(), context)
    assert isinstance(event, Event)
    assert context.unknown_properties == {"extra": 1}
    assert event.payload["extra"] == [event.payload["identifiers"]["email_hash"]]
