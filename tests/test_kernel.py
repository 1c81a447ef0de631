"""The compiled kernel says what Python says, or leaves it to Python."""

import hashlib
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kernel_inputs import FORMAT, fill, make_columns, read_both
from loading import Import, load, make_event, query, stage, write_export
from torture_cases import JSON_VALUES, NO_JSON_VALUES, make_record

from hindcast import event_columns, kernel_columns
from hindcast.canonical import decode_value, encode_value
from hindcast.event_columns import EventColumns
from hindcast.formats import analytics_history
from hindcast.kernel import _kernel, is_compiled
from hindcast.staging import read_chunk
from hindcast.synthetic import GenerateSpec, generate
from hindcast.window import Window

pytest_plugins = ["loading_fixtures"]
pytestmark = pytest.mark.skipif(not is_compiled, reason="no C compiler was there at installation")

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,19})(\.[0-9]{1,17})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
TIME_TEXT = (
    r"20[0-9]{2}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{1,8})?"
    r"(Z|[+-][0-2][0-9]:[0-6][0-9])?"
)
TIMES = st.one_of(
    st.datetimes(datetime(1969, 12, 1), datetime(2031, 1, 1)).map(datetime.isoformat),
    st.from_regex(TIME_TEXT, fullmatch=True),
    st.integers(0, 1 << 48),
    st.integers(0, 1 << 48).map(str),
)
NAMES = [*sorted(analytics_history.KNOWN_NAMES), "email", "other"]
RECORDS = st.builds(
    lambda time, fields: json.dumps({"event_type": "page_view", "occurred_at": time} | fields).encode(),
    TIMES,
    st.dictionaries(st.sampled_from(NAMES), VALUES | TIMES, max_size=5),
)


@pytest.mark.parametrize("size", [*range(130), 1_000, 4_096])
def test_the_digest_is_sha256_with_and_without_the_processors_instructions(size: int) -> None:
    data = bytes(n * 31 % 256 for n in range(size))
    expected = hashlib.sha256(data).digest()
    assert _kernel.digest(data, False) == _kernel.digest(data, True) == expected


@settings(deadline=None)
@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_a_value_has_one_canonical_form(value: Any, is_ascii: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=is_ascii, indent=indent).encode()
    assert _kernel.canonical(text) in (None, encode_value(decode_value(text)))


@settings(deadline=None)
@example("1.0")
@example("0.0")
@example("-0.0")
@example("0.0001")
@example("0.00010")
@example("0.00001")
@example("999999999999.99")
@example("123456789012345678")
@given(NUMBERS)
def test_a_number_has_one_canonical_form(text: str) -> None:
    assert _kernel.canonical(text.encode()) in (None, encode_value(decode_value(text)))


@pytest.mark.parametrize("text", ["0", "-3", "0.34", "12.50", "5.0", '"é \\u00e9 \\n"', '{"b":[1,{}],"a":null}', "[]"])
def test_what_is_plain_is_not_left_to_python(text: str) -> None:
    assert _kernel.canonical(text.encode()) == encode_value(decode_value(text))


@pytest.mark.parametrize("text", [*JSON_VALUES, *NO_JSON_VALUES])
def test_hostile_values_are_read_right_or_left(text: bytes) -> None:
    found = _kernel.canonical(text)
    assert found is None or found == encode_value(decode_value(text))


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_no_bytes_are_read_as_what_they_are_not(text: bytes) -> None:
    found = _kernel.canonical(text)
    assert found is None or found == encode_value(decode_value(text))


@settings(deadline=None, max_examples=200)
@given(st.lists(RECORDS, min_size=1, max_size=6))
def test_records_become_the_rows_that_python_makes(raws: list[bytes]) -> None:
    found, expected = read_both(raws)
    assert found == expected


@settings(deadline=None)
@given(RECORDS, st.integers(0), st.binary(max_size=3), st.integers(0, 3))
def test_damaged_records_become_the_rows_that_python_makes(raw: bytes, at: int, put: bytes, cut: int) -> None:
    at %= len(raw) + 1
    found, expected = read_both([raw[:at] + put + raw[at + cut :]])
    assert found == expected


def test_hostile_records_become_the_rows_that_python_makes() -> None:
    raws = [make_record(value) for value in [*JSON_VALUES, *NO_JSON_VALUES]]
    raws += [make_record(time=value) for value in [*JSON_VALUES, *NO_JSON_VALUES]]
    raws += [make_record(user_id=value) for value in [*JSON_VALUES, *NO_JSON_VALUES]]
    found, expected = read_both(raws)
    assert found == expected


@pytest.mark.parametrize(
    "raw",
    [
        b'{"event_type":"a","eventType":"b","occurred_at":"2024-01-01T00:00:00Z"}',
        b'{"event_type":"a","event_type":"b","occurred_at":"2024-01-01T00:00:00Z"}',
        b'{"event_type":"a","event_type":null,"occurred_at":"2024-01-01T00:00:00Z"}',
        b'{"event_type":"a","type":null,"time":null,"occurred_at":"2024-01-01T00:00:00Z"}',
        b'{"event_type":" ","occurred_at":"2024-01-01T00:00:00Z"}',
        b'{"event_type":"a","user_id":7,"occurred_at":"2024-01-01T00:00:00Z"}',
        b'{"event_type":"a","user_id":"","occurred_at":"2024-01-01T00:00:00Z"}',
        b'{"event_type":"a","occurred_at":"2024-02-29T23:59:59.999999Z","meta":[]}',
        b'{"event_type":"a","occurred_at":"2023-02-29T00:00:00Z"}',
        b'{"event_type":"a","occurred_at":"2024-01-01T00:00:60Z"}',
        b'{"event_type":"a","occurred_at":"2024-01-01T00:00:00-00:00"}',
        b'{"event_type":"a","occurred_at":"2024-01-01T00:00:00+23:59","payload":{"Name":"x"}}',
        b'{"event_type":"a","occurred_at":"2024-01-01T00:00:00Z","payload":{"b":1,"b":2}}',
        b'{"event_type":"a","occurred_at":"2024-01-01T00:00:00Z","payload":null} ',
        b'{"event_type":"' + b"a" * 257 + b'","occurred_at":"2024-01-01T00:00:00Z"}',
    ],
)
def test_records_at_the_edge_become_the_rows_that_python_makes(raw: bytes) -> None:
    found, expected = read_both([raw])
    assert found == expected


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.booleans(), max_size=40), min_size=2, max_size=3))
def test_a_chunk_keeps_the_order_of_its_records_and_nothing_of_the_chunk_before(chunks: list[list[bool]]) -> None:
    columns, alone = make_columns(), EventColumns(FORMAT)
    for kinds in chunks:
        raws = [  # plain, or left to Python
            json.dumps(make_event(n, user_id=f"u{n}" if is_plain else n, course_id=None if n % 3 else "c")).encode()
            for n, is_plain in enumerate(kinds)
        ]
        assert fill(columns, raws) == fill(alone, raws)
        assert (columns.outside, columns.naive, columns.sanitised) == (0, 0, 0)
        columns.clear()
        alone.clear()


def test_columns_are_merged_with_those_of_a_builder_alone() -> None:
    builder = _kernel.Builder(FORMAT, "", {}, 0, 1, 0, 1, False)
    with pytest.raises(TypeError, match="builder"):
        builder.columns(None)  # type: ignore[arg-type]


def test_a_window_takes_the_same_records(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    generate(GenerateSpec(FORMAT, 2_000, 5, file))
    raws = file.read_bytes().splitlines()
    whole = read_both(raws)[0]
    middle = sorted(row["created_at"] for row in whole)[len(whole) // 2]
    found, expected = read_both(raws, Window(middle, middle + timedelta(days=30)))
    assert found == expected and 0 < len(found) < len(whole)


def test_an_export_is_staged_alike_with_and_without_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "history.jsonl"
    generate(GenerateSpec(FORMAT, 5_000, 3, file))
    rows = []
    for kernel in ("auto", "off"):
        monkeypatch.setenv("HINDCAST_KERNEL", kernel)
        monkeypatch.setenv("HINDCAST_HOME", str(tmp_path / kernel))
        _, folder, manifest = stage(file, window="2024-02-01..2024-05-01")
        rows.append([read_chunk(folder, c.segment, c.staged_as.row_group).to_pylist() for c in manifest.chunks])
        rows.append([manifest.totals, manifest.months])
    assert rows[:2] == rows[2:]


@pytest.mark.parametrize("kernel", ["auto", "off"])
def test_a_chunk_ends_when_a_column_is_full(kernel: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HINDCAST_KERNEL", kernel)
    monkeypatch.setenv("HINDCAST_HOME", str(tmp_path / "home"))
    for module in (kernel_columns, event_columns):
        monkeypatch.setattr(module, "FULL_BYTES", 500)
    export = write_export(tmp_path / "export.jsonl", (make_event(n) for n in range(60)))
    _, _, whole = stage(export)
    _, _, manifest = stage(export, limit=50)
    assert len(whole.chunks) == 1  # the records of a block stay together
    assert manifest.totals.staged == 50 and len(manifest.chunks) > 1


@pytest.fixture
def loaded(target: str, tmp_path: Path) -> Import:
    return load(target, write_export(tmp_path / "export.jsonl", (make_event(n) for n in range(40))), chunk=10)


@pytest.mark.parametrize(
    "change",
    [
        "payload = payload || '{\"x\": 1.50}'", "payload = '[1]'", "payload = NULL", "payload = '{}'", "user_id = NULL",
        "user_id = ''", "user_agent = 'x'", "created_at = created_at + interval '1 microsecond'", "source = 'live'",
        "import_chunk_id = NULL", "event_type = 'é'", "tenant = 'x'", "payload = payload || '{\"x\": 1e300}'",
    ],
)  # fmt: skip
def test_a_changed_row_is_found_with_and_without_the_kernel(
    loaded: Import, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    query(loaded.url, f"UPDATE analytics_events SET {change} WHERE export_line IN (3, 17)")  # noqa: S608
    found = loaded.verify()
    monkeypatch.setenv("HINDCAST_KERNEL", "off")
    assert loaded.verify() == found


def test_rows_are_the_same_bytes_whoever_sent_them(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "history.jsonl"
    generate(GenerateSpec(FORMAT, 2_000, 9, file))
    columns = "event_id, created_at, source, tenant, user_id, user_agent, payload, source_event_id, export_line"
    rows = []
    for kernel in ("auto", "off"):
        monkeypatch.setenv("HINDCAST_KERNEL", kernel)
        load(target, file)
        rows.append(query(target, f"SELECT {columns} FROM analytics_events ORDER BY event_id"))  # noqa: S608
        query(target, "TRUNCATE analytics_events, import_runs CASCADE")
    assert rows[0] == rows[1] and len(rows[0]) > 1_900


def test_buffers_of_other_lengths_are_refused() -> None:
    texts = tuple((bytes(8), b"", None, 0) for _ in range(11))
    with pytest.raises(ValueError, match="other lengths"):
        _kernel.match((bytes(16), bytes(7), "s", texts), b"", bytearray(1), bytearray(8))
    with pytest.raises(ValueError, match="another shape"):
        _kernel.match((bytes(16), bytes(8), "s", texts), b"\0\0\0\7", bytearray(1), bytearray(8))
    with pytest.raises(ValueError, match="other lengths"):
        _kernel.Sender((bytes(16), bytes(8), "s", ((b"\0\0\0\0\x09\0\0\0", b"", None, 0),) * 11), bytes(8), 1, 1)
