"""The `analytics_history` format: gold cases written from its documentation, and properties."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from gold_cases import check_case, decide, show
from hypothesis import given
from hypothesis import strategies as st

from hindcast.canonical import decode_value, encode_value
from hindcast.errors import ConfigurationError, ExportError, RecordError
from hindcast.event import Event, Skipped, identify
from hindcast.formats import FORMATS, analytics_history, detect_format, find_format
from hindcast.formats.analytics_history import decode, encode, redact
from hindcast.formats.base import Context, read_options

GOLD = Path(__file__).parent / "gold" / "analytics_history"
Decode = Callable[[bytes, Context], Event | Skipped]
LATEST = datetime(2025, 1, 2, tzinfo=UTC)
SAMPLE = (GOLD / "runbook_sample" / "input.jsonl").read_bytes().splitlines()

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=256)
names = text.filter(str.strip)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
events = st.builds(
    Event,
    occurred_at=st.datetimes(datetime(1970, 1, 1), datetime(2025, 1, 1), timezones=st.just(UTC)),
    event_type=names,
    payload=(st.dictionaries(text, values, max_size=3) | st.lists(values, max_size=3)).map(
        lambda value: decode_value(json.dumps(value).encode())  # 1.0 is 1 to all that follows
    ),
    **{name: st.none() | text for name in (*analytics_history.TEXT_NAMES, "source_event_id")},
)


def make_context(**options: bool) -> Context:
    return Context(latest=LATEST, options=options)


@pytest.mark.parametrize("case", sorted(folder.name for folder in GOLD.iterdir()))
def test_records_are_read_as_documented(case: str) -> None:
    check_case(analytics_history, GOLD / case, make_context())


@given(events)
def test_decoding_what_was_encoded_gives_the_same_event(event: Event) -> None:
    again = decode(encode(event), make_context(scrub_pii=False))
    assert show(again) == show(event)
    assert identify(again, "s") == identify(event, "s")


@given(events, st.randoms())
def test_spelling_and_key_order_do_not_change_the_id(event: Event, random: Any) -> None:
    spellings = analytics_history.TEXT_NAMES | {
        "event_type": analytics_history.TYPE_NAMES,
        "occurred_at": analytics_history.TIME_NAMES,
        "event_id": analytics_history.OWN_ID_NAMES,
        "payload": analytics_history.PAYLOAD_NAMES,
    }
    fields = list(json.loads(encode(event)).items())
    random.shuffle(fields)
    respelt = json.dumps({random.choice(spellings[name]): value for name, value in fields}).encode()
    context = make_context(scrub_pii=False)
    assert identify(decode(respelt, context), "s") == identify(decode(encode(event), context), "s")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'"payload":{"a":1,"b":2}', b'"metadata":{"b":2e0,"a":1.0}'),
        (b'"payload":{"a":"\\u00e9"}', '"payload":{"a":"é"}'.encode()),
        (b'"payload":{"a":0.1}', b'"payload":{"a":1e-1}'),
        (b'"payload":{}', b'"payload":null'),
        (b'"payload":{},"user_id":"7"', b'"userId":7'),
        (b'"payload":{"a":1,"a":2}', b'"payload":{"a":2}'),
    ],
)
def test_notation_does_not_change_the_id(one: bytes, other: bytes) -> None:
    first = decode(b'{"event_type":"a","occurred_at":"2024-07-01T15:00:00Z",' + one + b"}", make_context())
    second = decode(b'{"type":"a",' + other + b',"time":"2024-07-01 17:00:00.000+02:00"}', make_context())
    assert identify(first, "s") == identify(second, "s")


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_and_nothing_else_happens(raw: bytes) -> None:
    with pytest.raises(RecordError):
        decode(raw, make_context())


@given(st.sampled_from(SAMPLE), st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=3)), max_size=6))
def test_a_mutated_record_is_decoded_or_refused_and_nothing_else_happens(
    raw: bytes, changes: list[tuple[int, bytes]]
) -> None:
    for at, put in changes:
        raw = raw[:at] + put + raw[at + 1 :]
    try:
        event = decode(raw, make_context())
    except RecordError as fault:
        assert fault.code
        assert fault.sentence
    else:
        encode_value(event.payload).decode()


@given(st.dictionaries(st.sampled_from(sorted(analytics_history.KNOWN_NAMES)), values, max_size=5))
def test_any_value_in_any_field_is_decoded_or_refused(fields: dict[str, Any]) -> None:
    record = {"event_type": "a", "occurred_at": 0} | fields
    decide(analytics_history, json.dumps(record).encode(), make_context())


def test_a_secret_changes_the_hash_of_personal_values_and_the_option_turns_hashing_off() -> None:
    raw = b'{"type":"a","time":0,"payload":{"email":"ada@example.com"}}'
    plain = decode(raw, make_context()).payload["email"]
    keyed = decode(raw, Context(latest=LATEST, pii_key=b"secret")).payload["email"]
    kept = decode(raw, make_context(scrub_pii=False)).payload["email"]
    assert plain.startswith("sha256:")
    assert keyed.startswith("hmac-sha256:")
    assert plain[7:] != keyed[12:]
    assert kept == "ada@example.com"


@pytest.mark.parametrize(
    "line",
    [
        '{"type":"a","payload":{"email":"ada@example.com","name":"Ada","phone":"555 0100"}',
        '{"type":"a","payload":{"Email" : "ada@example.com", "NAME":"Ada \\"L\\"',
        '{"payload":{"contact":"mailto:ada@example.com"}',
        "time 'ada@example.com': expected",
        '{"x":"ada%40example.com ada\\u0040example.com"}',
        '{"name": Ada, "phone": 555 0100}'.replace(" 0100", ""),
    ],
)
def test_personal_values_are_hidden_in_lines_that_are_no_json(line: str) -> None:
    shown = redact(line)
    assert "[redacted]" in shown
    assert not any(personal in shown for personal in ("ada", "Ada", "555"))


@pytest.mark.parametrize(
    "text", ["%40" * 1300, "a" * 4000, "a%40" * 1000, "a." * 2000, "@" * 4000, '"name":"' + "\\" * 4000]
)
def test_hostile_text_does_not_make_redaction_slow(text: str) -> None:
    began = time.process_time()
    redact(text)
    assert time.process_time() - began < 2  # minutes, where a pattern backtracks


def test_names_of_unknown_properties_are_counted_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hindcast.formats.base.MOST_UNKNOWN_NAMES", 2)
    context = make_context()
    for name in ("x", "y", "z" * 500, "x", "w"):
        decode(json.dumps({"type": "a", "time": 0, name: 1}).encode(), context)
    assert context.unknown_properties == {"x": 2, "y": 1, "(other names)": 2}


def test_a_tenant_of_the_command_line_is_the_tenant_of_every_event() -> None:
    assert decode(SAMPLE[0], Context(latest=LATEST, tenant="acme")).tenant == "acme"


def test_the_format_is_detected_with_evidence() -> None:
    name, evidence = detect_format(SAMPLE)
    assert name == "analytics_history"
    assert "3 of the first 3 records" in evidence


@pytest.mark.parametrize(
    "records",
    [
        [b"not json"] * 3,
        [b"[1]", b"2", b'"x"'],
        [b'{"colour":"red"}'],
        [b"[" * 100_000],
        [b'{"event_type":"api_call","timestamp":0,"metrics":{},"source":{}}'] * 3,
        [b"\xff\xfe", b"", b'{"type":"\\ud800"}'],
    ],
)
def test_other_records_are_not_guessed_to_be_of_this_format(records: list[bytes]) -> None:
    with pytest.raises(ExportError, match=r"fit no .*--format"):
        detect_format(records)


def test_records_of_several_formats_need_a_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, "twin", analytics_history)
    with pytest.raises(ExportError, match=r"several formats.*--format.*analytics_history.*twin"):
        detect_format(SAMPLE)


def test_an_unknown_format_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="analytics_history"):
        find_format("csv")


@pytest.mark.parametrize("chosen", [{"scrub": "true"}, {"scrub_pii": "maybe"}])
def test_options_that_do_not_exist_are_refused(chosen: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="scrub"):
        read_options(chosen, analytics_history.OPTIONS)


def test_options_are_switches() -> None:
    assert read_options({}, analytics_history.OPTIONS) == {"scrub_pii": True}
    assert read_options({"scrub_pii": "Off"}, analytics_history.OPTIONS) == {"scrub_pii": False}
