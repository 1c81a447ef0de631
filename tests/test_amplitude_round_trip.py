"""The `amplitude` format on hostile records: encoding gives back the event, and a batch decides as `decode` does."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from gold_cases import decide, show
from hypothesis import given, settings
from hypothesis import strategies as st

from hindcast.errors import RecordError
from hindcast.event import Event, Skipped, identify
from hindcast.formats import amplitude, decode_batch
from hindcast.formats.amplitude import decode, encode
from hindcast.formats.amplitude_fields import IGNORED_NAMES
from hindcast.formats.base import Context, read_options

LATEST = datetime(2025, 1, 2, tzinfo=UTC)
START = b'{"event_type":"x","event_time":"2025-01-01 10:00:00","uuid":"u1",'

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=6)
word = text | st.sampled_from(["a", " ", " a ", "[", '["a","b"]', "EMPTY", "Windows", "Desktop", "iOS"])
scalar = st.none() | st.booleans() | st.integers(-2, 2**53) | st.floats(allow_nan=False, allow_infinity=False) | word
ours = st.sampled_from(
    ["$set", "$set_once", "$groups", "$amplitude", "$os", "$browser", "$ip", "$device_type", "$device_id", "initial_a",
     "$initial_a", "$amplitude_user_id", "$amplitude_device_id", "$amplitude_session_id", "$amplitude_event_id",
     "[Amplitude] Page URL", "$current_url", "event_type", "plan", "user_id"]
)  # fmt: skip
values = st.recursive(
    scalar, lambda inner: st.dictionaries(ours | text, inner, max_size=3) | st.lists(inner, max_size=2), max_leaves=6
)
objects = st.dictionaries(ours | text, values, max_size=5)
records = st.fixed_dictionaries(
    {"event_type": word | st.sampled_from(list(amplitude.TYPES)), "event_time": st.just("2025-01-01 10:00:00.5")},
    optional={
        "user_id": st.none() | st.integers() | word, "device_id": st.none() | word, "uuid": st.none() | word,
        "$insert_id": st.none() | word, "app": st.none() | st.integers() | word, "region": word, "ip_address": word,
        "session_id": st.none() | st.integers(), "event_id": st.none() | st.integers(), "city": st.none() | word,
        "os_name": st.none() | word, "device_type": st.none() | word, "event_properties": st.none() | objects,
        "user_properties": st.none() | objects, "groups": st.none() | objects, "plan": values, "new_field": values,
    },
)  # fmt: skip


def make_context(**options: str) -> Context:
    return Context(latest=LATEST, options=read_options(options, amplitude.OPTIONS))


def tell(outcome: Event | Skipped | RecordError) -> dict[str, Any]:
    """An outcome of a batch, as `decide` tells one of `decode`."""
    if isinstance(outcome, RecordError):
        return {"reject": outcome.code}
    return {"skipped": outcome.reason} if isinstance(outcome, Skipped) else {"event": show(outcome)}


@pytest.mark.parametrize("keeps", ["true", "false"])
@settings(deadline=None)
@given(record=records)
def test_any_event_that_can_be_decoded_is_encoded_so_that_it_comes_back(keeps: str, record: dict[str, Any]) -> None:
    event = decode(json.dumps(record).encode(), make_context(keep_fields=keeps))
    if isinstance(event, Event):
        again = decode(encode(event), make_context(keep_fields=keeps))
        assert isinstance(again, Event)
        assert identify(again, "s") == identify(event, "s")


@pytest.mark.parametrize(
    "fields",
    [
        {"$insert_id": "i", "device_id": "  "},
        {"uuid": "[abc"},
        {"uuid": '["i","other"]', "device_id": "d"},
        {"event_properties": {"$set": {"initial_a": 1}}},
        {"event_properties": {"$groups": {"a": {"x": 1}}}},
        {"event_properties": {"$groups": {"a": True}}},
        {"event_properties": {"$os": "Windows"}},
        {"event_properties": {"$amplitude_session_id": 123}},
        {"event_properties": {"$amplitude": {"event_type": "other", "plan": "x"}}},
    ],
)
def test_a_property_that_looks_like_one_of_ours_stays_what_it_is(fields: dict[str, Any]) -> None:
    record = {"event_type": "x", "event_time": "2025-01-01 10:00:00"} | fields
    event = decode(json.dumps(record).encode(), make_context())
    assert isinstance(event, Event)
    assert decide(amplitude, encode(event), make_context()) == {"event": show(event)}


@settings(deadline=None)
@given(records, st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=2)), max_size=3))
def test_a_batch_decides_as_decode_does(record: dict[str, Any], changes: list[tuple[int, bytes]]) -> None:
    raw = json.dumps(record, ensure_ascii=False).encode()
    for at, put in changes:
        raw = raw[:at] + put + raw[at + 1 :]
    one, many = make_context(), make_context()
    assert tell(decode_batch(amplitude, [raw], many)[0]) == decide(amplitude, raw, one)
    assert (one.notes, one.unknown_properties) == (many.notes, many.unknown_properties)


@pytest.mark.parametrize(
    ("rest", "code"),
    [
        (b'"library":"\xff"}', "invalid_utf8"),
        (b'"city":"\xff"}', "invalid_utf8"),
        (b'"location_lat":1e99999}', None),
        (b'"data":{"a":[1e5000]},"new_field":1}', None),
        (b'"event_properties":{"a":1e5000}}', "number_out_of_range"),
        (b'"data":{"a":1e5000},"event_properties":{"a":1e5000}}', "number_out_of_range"),
        (b'"data":{"a":1e5000},"library":"\xff"}', "invalid_utf8"),
    ],
)
def test_what_is_wrong_in_a_field_that_is_not_mapped(rest: bytes, code: str | None) -> None:
    found = decide(amplitude, START + rest, make_context())
    assert found == tell(decode_batch(amplitude, [START + rest], make_context())[0])
    assert found.get("reject") == code


def test_a_number_that_cannot_be_kept_is_refused_when_every_field_is_kept() -> None:
    found = decide(amplitude, START + b'"location_lat":1e99999}', make_context(keep_fields="true"))
    assert found == {"reject": "number_out_of_range"}


@pytest.mark.parametrize("name", sorted(IGNORED_NAMES))
def test_a_field_that_is_not_mapped_may_hold_anything(name: str) -> None:
    usual = decide(amplitude, START[:-1] + b"}", make_context())
    for value in (None, True, 1.5, "x", [1], {"a": {}}):
        context = make_context()
        assert decide(amplitude, START + json.dumps({name: value}).encode()[1:], context) == usual
        assert not context.unknown_properties
