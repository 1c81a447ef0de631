"""The `llm_analytics` format: gold cases from its rules, and properties."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from gold_cases import check_case
from hypothesis import given
from hypothesis import strategies as st

from hindcast.canonical import decode_value
from hindcast.event import Event, identify
from hindcast.formats import detect_format, llm_analytics
from hindcast.formats.base import Context
from hindcast.formats.llm_analytics import LargeEvent, decode, encode, redact
from hindcast.llm_events import BLOB_NAMES
from hindcast.objects.multipart import parse_part

GOLD = Path(__file__).parent / "gold" / "llm_analytics"
NOW = datetime(2025, 1, 1, tzinfo=UTC)
OWN_ID = "0190b0a0-0000-4000-8000-000000000001"
TEAM = "0f25663a3e84ea94"


def make_context(**fields: Any) -> Context:
    return Context(latest=NOW + timedelta(days=1), **fields)


def make_record(**properties: Any) -> dict[str, Any]:
    return {
        "event": "$ai_generation",
        "distinct_id": "u1",
        "uuid": OWN_ID,
        "timestamp": "2024-03-01T10:00:00Z",
        "properties": {"$ai_model": "m", **properties},
    }


def read_value(event: Event, name: str) -> tuple[str, bytes]:
    """Content type and bytes of the value that a property of the payload refers to."""
    assert isinstance(event, LargeEvent)
    assert event.bundle
    first, last = event.bundle.ranges[name]
    assert event.payload[name].endswith(f"?range={first}-{last}")
    part = parse_part(b"".join(event.bundle.content)[first : last + 1])
    return part.headers["content-type"], part.body


def decode_large(record: dict[str, Any], **fields: Any) -> Event:
    event = decode(json.dumps(record, ensure_ascii=False).encode(), make_context(inline_bytes=300, **fields))
    assert isinstance(event, Event)
    return event


@pytest.mark.parametrize("case", sorted(folder.name for folder in GOLD.iterdir()))
def test_records_are_read_as_documented(case: str) -> None:
    check_case(llm_analytics, GOLD / case, make_context(tenant="acme"))


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts, lambda v: st.lists(v) | st.dictionaries(texts, v)
)
events = st.builds(
    Event,
    occurred_at=st.datetimes(datetime(1970, 1, 1), datetime(2025, 1, 1), timezones=st.just(UTC)),
    event_type=st.sampled_from(sorted(BLOB_NAMES)),
    user_id=texts.filter(str.strip),
    source_event_id=st.uuids().map(str),
    payload=st.dictionaries(texts, values).map(lambda value: value | {"$ai_model": "m"}),
    tenant=st.just("acme"),
)


@given(events)
def test_what_is_encoded_decodes_to_the_same_event(event: Event) -> None:
    found = decode(encode(event), make_context(tenant="acme", inline_bytes=1 << 20))
    assert isinstance(found, Event)
    assert identify(found, "llm_analytics") == identify(event, "llm_analytics")


def test_a_long_text_is_a_part_with_its_own_bytes() -> None:
    event = decode_large(make_record(**{"$ai_input": "Grüße\n" * 100}), tenant="acme", bucket="b1")
    assert event.payload["$ai_input"].startswith(f"s3://b1/llma/acme/{OWN_ID}?range=")
    assert read_value(event, "$ai_input") == ("text/plain", ("Grüße\n" * 100).encode())


def test_long_json_keeps_the_bytes_it_was_written_with() -> None:
    written = '{"b" : [1.0, 2],\t"a":"' + "x" * 400 + '"}'
    line = json.dumps(make_record(**{"$ai_input": "HERE"})).replace('"HERE"', written)
    event = decode(line.encode(), make_context(inline_bytes=300))
    assert isinstance(event, Event)
    assert read_value(event, "$ai_input") == ("application/json", written.encode())


def test_a_long_data_uri_is_decoded() -> None:
    octets = bytes(range(256)) * 4
    uri = "data:application/octet-stream;base64," + base64.b64encode(octets).decode()
    event = decode_large(make_record(**{"$ai_input": uri}))
    assert read_value(event, "$ai_input") == ("application/octet-stream", octets)


def test_what_only_begins_like_a_data_uri_is_a_text() -> None:
    text = "data:application/pdf;base64," + "not base64! " * 50
    assert read_value(decode_large(make_record(x=text)), "x") == ("text/plain", text.encode())


def test_short_values_stay_and_long_ones_share_an_object() -> None:
    event = decode_large(make_record(a="x" * 298, b="x" * 299, c=["y"] * 200))
    assert event.payload["a"] == "x" * 298
    assert {event.payload[name].partition("?")[0] for name in "bc"} == {f"s3://llma/llma/default/{OWN_ID}"}


def test_model_and_provider_are_never_in_an_object() -> None:
    event = decode_large(make_record(**{"$ai_model": "m" * 400, "$ai_provider": "p" * 400}))
    assert event.payload == {"$ai_model": "m" * 400, "$ai_provider": "p" * 400}


def test_a_token_gives_the_team_and_is_kept_nowhere() -> None:
    event = decode_large(make_record() | {"token": " phc_test_token "}, tenant="acme")
    assert event.tenant == TEAM
    assert "phc_test_token" not in str(event)


def test_the_same_record_gives_the_same_object() -> None:
    first, second = (decode_large(make_record(a="x" * 400, b="y" * 400)) for _ in range(2))
    assert isinstance(first, LargeEvent) and isinstance(second, LargeEvent)
    assert first.bundle and second.bundle
    assert first.bundle.content.sha256 == second.bundle.content.sha256


def test_a_reference_in_a_record_stays_a_text() -> None:
    event = decode_large(make_record(x="s3://llma/llma/other/1?range=0-9"))
    assert event.payload["x"] == "s3://llma/llma/other/1?range=0-9"
    assert not isinstance(event, LargeEvent)


def test_records_are_detected() -> None:
    name, evidence = detect_format([json.dumps(make_record()).encode()] * 3)
    assert (name, evidence[:22]) == ("llm_analytics", "3 of the first 3 recor")


def test_tokens_and_addresses_are_hidden_in_rejects() -> None:
    assert redact('{"token":"phc_abc123","mail":"a@example.com"}') == '{"token":"[token]","mail":"[redacted]"}'


def test_numbers_keep_their_digits_whether_other_values_are_large_or_not() -> None:
    line = encode(Event(NOW, "$ai_span", user_id="u", source_event_id=OWN_ID, payload={"$ai_model": "m", "n": 1}))
    line = line.replace(b'"n":1', b'"n":0.1000000000000000055511151231257827,"x":"' + b"y" * 400 + b'"')
    event = decode(line, make_context(inline_bytes=300))
    assert isinstance(event, Event)
    assert event.payload["n"] == decode_value("0.1000000000000000055511151231257827")
