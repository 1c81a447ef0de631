"""The batched ways of staging give what the record-by-record ways give."""

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hindcast.errors import RecordError
from hindcast.event import Event, Skipped, identify
from hindcast.event_columns import EventColumns
from hindcast.formats import analytics_history
from hindcast.formats.base import Context, decode_or_fault
from hindcast.kernel import is_compiled
from hindcast.records import Progress, RawRecord, iter_batches, iter_lines
from hindcast.synthetic import GenerateSpec, generate
from tests.torture_cases import all_cases

LATEST = datetime(2026, 1, 1, tzinfo=UTC)
TEXTS = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5))
EVENTS = st.builds(
    Event,
    occurred_at=st.datetimes(datetime(1970, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
    event_type=st.text("ab ü", min_size=1),
    user_id=TEXTS,
    course_id=TEXTS,
    source_event_id=TEXTS,
    payload=st.dictionaries(
        st.text("ab", max_size=2), st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    ),
    tenant=st.sampled_from(["", "t"]),
)


def read(way: type, data: bytes, start: int, end: int | None, limit: int) -> tuple[list[RawRecord], Progress]:
    progress = Progress()
    stream = io.BytesIO(data)
    stream.seek(max(start - 1, 0))
    found = []
    for item in way(stream, start, end, limit, progress):
        if isinstance(item, RawRecord):
            found.append(item)
        else:
            places = zip(item.numbers, item.offsets, item.raws, strict=True)
            found.extend(RawRecord(*place, item.fault) for place in places)
    return found, progress


@pytest.mark.parametrize("has_kernel", [True, False])
@given(
    st.lists(
        st.sampled_from([b"", b" ", b"x", b"\r", b"{}", b"long" * 9, b"\xef\xbb\xbf", b"\x0b\x0c\t", b"\r\r", b"\x85"]),
        max_size=12,
    ),
    st.sampled_from([b"\n", b"\r\n"]),
    st.integers(0, 40),
    st.one_of(st.none(), st.integers(0, 60)),
    st.sampled_from([1 << 20, 20]),
)
def test_batches_hold_the_records_of_lines(
    has_kernel: bool,
    lines: list[bytes],
    ending: bytes,
    start: int,
    end: int | None,
    limit: int,
) -> None:
    data = ending.join(lines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hindcast.records.BLOCK_BYTES", 16)
        patch.setattr("hindcast.records.has_kernel", lambda: has_kernel and is_compiled)
        batched, lined = (read(way, data, min(start, len(data)), end, limit) for way in (iter_batches, iter_lines))
    assert str(batched) == str(lined)


def decode_both(raws: list[bytes], options: dict[str, bool], tenant: str) -> tuple[list[object], list[object]]:
    contexts = [Context(latest=LATEST, tenant=tenant, options=options) for _ in range(2)]
    batch = analytics_history.decode_batch(raws, contexts[0])
    each = [decode_or_fault(analytics_history.decode, raw, contexts[1]) for raw in raws]
    assert (contexts[0].notes, contexts[0].unknown_properties) == (contexts[1].notes, contexts[1].unknown_properties)
    return [show(outcome) for outcome in batch], [show(outcome) for outcome in each]


def show(outcome: Event | Skipped | RecordError) -> object:
    if isinstance(outcome, Event):
        return [getattr(outcome, name) for name in Event.__struct_fields__]
    return (outcome.code, outcome.sentence) if isinstance(outcome, RecordError) else outcome


@pytest.mark.parametrize("scrubs", [True, False])
def test_a_batch_of_hostile_records_has_the_outcomes_of_each(scrubs: bool) -> None:
    batch, each = decode_both([raw for raw, _ in all_cases() if raw], {"scrub_pii": scrubs}, "t")
    assert repr(batch) == repr(each)


def test_a_batch_of_generated_records_has_the_outcomes_of_each(tmp_path: Path) -> None:
    export = tmp_path / "history.jsonl"
    generate(GenerateSpec("analytics_history", 3_000, 5, export))
    batch, each = decode_both(export.read_bytes().splitlines(), {"scrub_pii": True}, "")
    assert batch == each


@pytest.mark.parametrize("name", ["tenant", "is_naive", "is_sanitised", "source_event_id"])
def test_a_record_cannot_set_what_is_no_property_of_it(name: str) -> None:
    raw = b'{"event_type":"x","occurred_at":"2024-01-01T00:00:00Z","%s":true}' % name.encode()
    batch, each = decode_both([raw], {}, "")
    assert batch == each
    assert True not in batch[0]  # type: ignore[operator]  # the fields of an event


@settings(deadline=None)  # the first example imports pandas, by way of pyarrow
@given(st.lists(EVENTS, min_size=1, max_size=4))
def test_columns_derive_what_identify_derives(events: list[Event]) -> None:
    columns = EventColumns("analytics_history")
    columns.extend(events, range(len(events)), range(len(events)))
    names = ("event_id", "identity", "content_hash", "payload")
    found = [tuple(row[name] for name in names) for row in columns.to_table().to_pylist()]
    each = [identify(event, "analytics_history") for event in events]
    assert found == [(d.event_id, d.identity, d.content_hash, d.payload.decode()) for d in each]
