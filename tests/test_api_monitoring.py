"""The `api_monitoring` format: gold cases from its documentation and real rows, and properties."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from gold_cases import check_case, show
from hypothesis import given
from hypothesis import strategies as st
from loading import count_events, load, query
from test_analytics_history import names, text, values
from test_batches import show as show_outcome

from hindcast.canonical import decode_value
from hindcast.errors import ExportError, RecordError
from hindcast.event import Event, identify
from hindcast.formats import api_monitoring, detect_format
from hindcast.formats.api_monitoring import EVENT_TYPES, SEVERITIES, decode, decode_batch, encode, redact
from hindcast.formats.base import Context, decode_or_fault

pytest_plugins = ["loading_fixtures"]

GOLD = Path(__file__).parent / "gold" / "api_monitoring"
REAL = Path(__file__).parent / "data" / "api-monitoring-500.jsonl"
ROWS = REAL.read_bytes().splitlines()
NOW = datetime(2025, 1, 1, tzinfo=UTC)


def make_context(now: datetime = NOW, **fields: Any) -> Context:
    return Context(latest=now + timedelta(days=1), **fields)


def real_events() -> list[Event]:
    outcomes = decode_batch(ROWS, make_context(datetime(2025, 10, 5, tzinfo=UTC)))
    assert all(isinstance(outcome, Event) for outcome in outcomes)
    return outcomes  # type: ignore[return-value]  # as just proved


jsons = st.dictionaries(text, values, max_size=3)
metrics = st.fixed_dictionaries(
    {},
    optional={
        "status_code": st.none() | st.integers(100, 599),
        "response_time_ms": st.floats(0, 1e9),
        "cache_hit": values,
    },
)
sources = st.fixed_dictionaries({}, optional={"service": text, "endpoint": text, "version": values})
payloads = st.fixed_dictionaries(
    {},
    optional={
        "title": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=200),
        "message": text,
        "severity": st.sampled_from(sorted(SEVERITIES)),
        "source": sources,
        "metrics": metrics,
        "context": st.fixed_dictionaries({"tags": jsons}, optional={"ip_address": text, "request_id": values}),
        "payload": jsons,
        "error_details": jsons,
        "unheard_of": values.filter(lambda value: value is not None),
    },
)
events = st.builds(
    Event,
    occurred_at=st.datetimes(datetime(1970, 1, 1), datetime(2025, 1, 1), timezones=st.just(UTC)),
    event_type=st.sampled_from(sorted(EVENT_TYPES)),
    source_event_id=names,
    payload=payloads.map(lambda value: decode_value(json.dumps(value).encode())),  # 1.0 is 1 to all that follows
    **{name: st.none() | text for name in api_monitoring.CALLER_NAMES},
)


@pytest.mark.parametrize("case", sorted(folder.name for folder in GOLD.iterdir()))
def test_records_are_read_as_documented(case: str) -> None:
    now = datetime(2025, 10, 5, tzinfo=UTC) if case == "real_calls" else NOW
    check_case(api_monitoring, GOLD / case, make_context(now))


@given(events)
def test_decoding_what_was_encoded_gives_the_same_event(event: Event) -> None:
    again = decode(encode(event), make_context())
    assert isinstance(again, Event)
    assert show(again) == show(event)
    assert identify(again, "s") == identify(event, "s")


@given(
    st.sampled_from(ROWS[:40]),
    st.lists(st.tuples(st.integers(0, 1100), st.binary(max_size=3)), max_size=6),
    st.booleans(),
)
def test_a_batch_has_the_outcomes_of_each_record_whatever_is_in_it(
    raw: bytes, changes: list[tuple[int, bytes]], is_early: bool
) -> None:
    for at, put in changes:
        raw = raw[:at] + put + raw[at + 1 :]
    contexts = [make_context(NOW if is_early else datetime(2026, 1, 1, tzinfo=UTC), tenant="t") for _ in range(2)]
    (batch,) = decode_batch([raw], contexts[0])
    each = decode_or_fault(decode, raw, contexts[1])
    assert repr(show_outcome(batch)) == repr(show_outcome(each))
    assert contexts[0] == contexts[1]


def test_the_gold_records_have_the_same_outcomes_in_a_batch() -> None:
    lines = [line for file in sorted(GOLD.glob("*/input.jsonl")) for line in file.read_bytes().splitlines()]
    contexts = [make_context(tenant="t") for _ in range(2)]
    batch = decode_batch(lines, contexts[0])
    each = [decode_or_fault(decode, line, contexts[1]) for line in lines]
    assert repr([show_outcome(outcome) for outcome in batch]) == repr([show_outcome(outcome) for outcome in each])
    assert contexts[0] == contexts[1]


def test_a_clock_may_be_five_minutes_fast_and_no_more() -> None:
    raw = ROWS[0].replace(b"2025-10-03T14:46:35.492697Z", b"2025-01-01T00:05:00Z")
    assert isinstance(decode(raw, make_context()), Event)
    with pytest.raises(RecordError, match="00:05:00"):
        decode(raw, make_context(NOW - timedelta(microseconds=1)))


def test_the_real_rows_are_what_they_are_known_to_be() -> None:
    found = real_events()
    sources = [event.payload["source"] for event in found]
    assert len({event.source_event_id for event in found}) == len(found) == 500
    assert len({source["endpoint"] for source in sources}) == 54
    assert len({source["service"] for source in sources}) == 8
    assert sum("error_details" in event.payload for event in found) == 14
    assert sum(event.payload["metrics"]["status_code"] >= 400 for event in found) == 14
    assert sum(event.user_id is None for event in found) == 56


def test_the_real_rows_survive_encoding() -> None:
    context = make_context(datetime(2025, 10, 5, tzinfo=UTC))
    again = [decode(encode(event), context) for event in real_events()]
    assert [identify(event, "s") for event in again] == [identify(event, "s") for event in real_events()]


@pytest.mark.parametrize("as_array", [False, True], ids=["lines", "array"])
def test_the_real_rows_are_loaded_once(target: str, tmp_path: Path, as_array: bool) -> None:
    export = tmp_path / ("export.json" if as_array else "export.jsonl")
    export.write_bytes(b"[" + b",\n".join(ROWS) + b"]\n" if as_array else REAL.read_bytes())
    first = load(target, export)
    assert first.plan.format == "api_monitoring"
    assert (first.counts().loaded, count_events(target)) == (500, 500)
    again = load(target, REAL)
    assert (again.counts().loaded, again.counts().duplicate, count_events(target)) == (0, 500, 500)
    facts = query(
        target,
        "SELECT count(DISTINCT payload #>> '{source,endpoint}'), count(DISTINCT payload #>> '{source,service}'),"
        " count(*) FILTER (WHERE payload ? 'error_details'), count(*) FILTER (WHERE user_id IS NULL)"
        " FROM analytics_events",
    )
    assert facts == [(54, 8, 14, 56)]


def test_the_format_is_detected_with_evidence() -> None:
    name, evidence = detect_format(ROWS[:100])
    assert name == "api_monitoring"
    assert "100 of the first 100 records" in evidence


def test_records_of_other_formats_are_not_guessed_to_be_of_this_one() -> None:
    with pytest.raises(ExportError, match="fit no format"):
        detect_format([b'{"event_type":"opened","timestamp":0,"metrics":"none","context":[],"source":"x"}'] * 3)


def test_a_reject_shows_no_address() -> None:
    assert "@" not in redact('{"event_id": "x", "message": "write to someone@example.org", broken')
