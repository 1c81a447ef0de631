"""The `amplitude` format: gold cases by its documentation, properties, and what its records give rise to."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from gold_cases import check_case, show
from hypothesis import given
from hypothesis import strategies as st

from hindcast.event import Event, identify
from hindcast.formats import amplitude, decode_batch, detect_format
from hindcast.formats.amplitude import decode, derive, describe_change, encode, redact
from hindcast.formats.base import Context, read_options

GOLD = Path(__file__).parent / "gold" / "amplitude"
LATEST = datetime(2025, 1, 2, tzinfo=UTC)
WHOLE = (GOLD / "a_whole_record" / "input.jsonl").read_bytes().strip()


def make_context(**options: str) -> Context:
    return Context(latest=LATEST, options=read_options(options, amplitude.OPTIONS))


def read(context: Context | None = None, **fields: Any) -> Event:
    record = {"event_type": "x", "event_time": "2025-01-01 10:00:00", "uuid": "u1"} | fields
    event = decode(json.dumps(record).encode(), context or make_context())
    assert isinstance(event, Event)
    return event


@pytest.mark.parametrize("case", sorted(folder.name for folder in GOLD.iterdir()))
def test_records_are_read_as_documented(case: str) -> None:
    check_case(amplitude, GOLD / case, make_context())


@pytest.mark.parametrize("case", sorted(folder.name for folder in GOLD.iterdir()))
def test_a_batch_has_the_outcomes_of_each(case: str) -> None:
    lines = (GOLD / case / "input.jsonl").read_bytes().splitlines()
    one, many = make_context(), make_context()
    singly = [outcome for line in lines for outcome in decode_batch(amplitude, [line], one)]
    batch = decode_batch(amplitude, lines, many)
    assert list(map(str, batch)) == list(map(str, singly))
    assert (one.notes, one.unknown_properties) == (many.notes, many.unknown_properties)


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=12)
scalar = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | text
objects = st.dictionaries(
    text | st.sampled_from(["initial_a", "$ip", "$set", "$groups", "$device_id"]), scalar, max_size=4
)
records = st.fixed_dictionaries(
    {"event_type": text.filter(str.strip), "event_time": st.just("2025-01-01 10:00:00.5")},
    optional={
        "user_id": scalar.filter(lambda v: not isinstance(v, bool)), "device_id": st.none() | text,
        "uuid": st.none() | text.filter(lambda v: not v.startswith("[")), "$insert_id": st.none() | text,
        "app": st.none() | st.integers(0, 10**9) | text, "session_id": st.none() | st.integers(-1, 2**52),
        "event_id": st.none() | st.integers(0, 100), "city": st.none() | text, "country": st.none() | text,
        "ip_address": st.none() | text, "os_name": st.none() | text,
        "device_type": st.none() | st.sampled_from(["iOS", "Windows", "Mac"]), "event_properties": st.none() | objects,
        "user_properties": st.none() | objects, "groups": st.dictionaries(text, st.lists(text, max_size=2), max_size=2),
    },
)  # fmt: skip


@given(records)
def test_decoding_what_was_encoded_gives_the_same_event(record: dict[str, Any]) -> None:
    event = decode(json.dumps(record).encode(), make_context())
    if isinstance(event, Event):
        again = decode(encode(event), make_context())
        assert isinstance(again, Event)
        assert show(again) == show(event)
        assert identify(again, "s") == identify(event, "s")


def test_an_amplitude_export_is_detected_with_evidence() -> None:
    name, evidence = detect_format([WHOLE] * 3)
    assert (name, evidence.split(" ")[0]) == ("amplitude", "3")


def test_every_field_is_kept_when_asked_for() -> None:
    event = decode(WHOLE, make_context(keep_fields="true"))
    assert isinstance(event, Event)
    kept = event.payload["$amplitude"]
    assert kept["platform"] == "Web" and kept["data"] == {"path": "/"} and "adid" not in kept
    assert show(decode(encode(event), make_context(keep_fields="true"))) == show(event)


def test_an_identify_event_has_the_pair_trimmed_and_an_id_of_the_pair() -> None:
    one, other = (
        derive(read(user_id=u, device_id=d, uuid=n), {}) for u, d, n in (("  a ", "d", "1"), ("a", " d", "2"))
    )
    assert one[0].key == other[0].key
    event = one[0].event
    assert (event.event_type, event.user_id, event.anonymous_id) == ("$identify", "a", "d")
    assert event.payload == {"$anon_distinct_id": "d", "distinct_id": "a"}
    assert event.source_event_id == other[0].event.source_event_id


@pytest.mark.parametrize(
    ("user", "device"), [(None, "d"), ("", "d"), ("  ", "d"), ("u", None), ("u", ""), ("u", " "), (None, None)]
)
def test_without_both_ids_there_is_no_identify_event(user: str | None, device: str | None) -> None:
    assert derive(read(user_id=user, device_id=device), {}) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"user_id": "a:b", "device_id": "c"}, {"user_id": "a", "device_id": "b:c"}),
        ({"user_id": 'a","b', "device_id": "c"}, {"user_id": "a", "device_id": 'b","c'}),
        ({"user_id": "a", "device_id": "c", "app": 1}, {"user_id": "a", "device_id": "c", "app": 2}),
        ({"user_id": "a" * 1000, "device_id": "用" * 1000}, {"user_id": "a" * 999, "device_id": "用" * 1000}),
    ],
)
def test_other_pairs_have_other_keys(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert derive(read(**one), {})[0].key != derive(read(**other), {})[0].key


def test_options_turn_derived_events_on_and_off() -> None:
    assert derive(read(user_id="u", device_id="d"), {"generate_identify_events": False}) == []
    groups = {"group_properties": {"org": {"acme": {"plan": "pro"}, "odd": 1}}}
    assert derive(read(**groups), {}) == []
    found = derive(read(make_context(generate_group_identify_events="true"), **groups), {})
    assert [(derived.event.event_type, derived.state) for derived in found] == [("$groupidentify", {"plan": "pro"})]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (None, {"a": 1}, {"$group_set": {"a": 1}}),
        (None, {}, {"$group_set": {}}),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, {"$group_set": {"b": 3}}),
        ({"a": 1, "b": 2}, {"b": 2, "c": None}, {"$group_set": {"c": None}, "$group_unset": ["a"]}),
        ({"a": True}, {"a": 1}, {"$group_set": {"a": 1}}),
        ({"a": 1}, {"a": 1}, None),
    ],
)
def test_a_group_event_tells_what_changed(before: Any, after: Any, told: Any) -> None:
    event = Event(LATEST, "$groupidentify", payload={"$group_type": "org", "$group_key": "acme"})
    change = describe_change(event, before, after)
    assert (change and change.payload) == (told and {"$group_type": "org", "$group_key": "acme"} | told)


def test_addresses_are_hidden_in_what_is_kept_of_a_reject() -> None:
    assert "someone@example.com" not in redact('{"user_id":"someone@example.com"')
