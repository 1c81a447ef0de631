"""Verification: what is wrong in the table is found and named, what is right passes."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from loading import Import, load, make_event, query, write_export

from hindcast.canonical import decode_value, encode_value, mark_unstorable
from hindcast.chunk_proof import Difference
from hindcast.errors import ExportError
from hindcast.verify import sum_proofs, verify_chunks

pytest_plugins = ["loading_fixtures"]

# What no writer of JSON in Python makes, but exports hold.
HOSTILE = {
    "nul": r'"a\u0000b"',
    "high half": r'"\ud83d"',
    "low half": r'"x\udE00\ud83d"',
    "huge": "1e400",
    "tiny": "-1e-400",
    "many digits": "0.1000000000000000000000000000000000000001",
    "long integer": "9" * 3999,
    "minus nought": "-0.0",
    "astral": '"\U0001f9a9 \u202e \ufeff é é"',
    "escapes": r'"\\u0000 \" \/ \b\f\n\r\t \u001f \u007f"',
    "duplicate keys": '{"b":1,"a":2,"b":3}',
    "empty": '[{}, [], "", null, true, false]',
    "keys": r'{"":1,"\u0000":2,"$ref":3,"__proto__":{},"é":4}',
}
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture
def loaded(target: str, tmp_path: Path) -> Import:
    """An import of forty events in chunks of ten."""
    file = write_export(tmp_path / "export.jsonl", (make_event(n) for n in range(40)))
    return load(target, file, chunk=10)


def edit(loaded: Import, change: str, line: int) -> None:
    query(loaded.url, f"UPDATE analytics_events SET {change} WHERE export_line = %s", line)  # noqa: S608


def test_an_untouched_import_passes_every_check(loaded: Import) -> None:
    verification = loaded.verify()
    assert [check["name"] for check in verification.checks] == ["counts", "content", "chunk digests"]
    assert verification.status == "passed"
    assert verification.months == [
        ("2024-01", "lesson_completed", 20, 20),
        ("2024-01", "lesson_started", 20, 20),
    ]


def test_verifying_writes_nothing(loaded: Import) -> None:
    before = query(loaded.url, "SELECT xmin, * FROM analytics_events ORDER BY event_id")
    loaded.verify()
    loaded.spot_check()
    assert query(loaded.url, "SELECT xmin, * FROM analytics_events ORDER BY event_id") == before


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ("payload = jsonb_set(payload, '{progress}', '0.99')", ("payload.progress", 0.24, 0.99)),
        ("payload = payload - 'number'", ("payload.number", 24, None)),
        ("payload = payload || '{\"more\": [1]}'", ("payload.more", None, [1])),
        ("user_id = 'somebody'", ("user_id", "learner-0", "somebody")),
        ("user_id = NULL", ("user_id", "learner-0", None)),
        ("event_type = 'lesson_lost'", ("event_type", "lesson_completed", "lesson_lost")),
        ("source_event_id = 'x'", ("source_event_id", None, "x")),
        (
            "created_at = created_at - interval '23 hours'",
            ("created_at", "2024-01-31T23:24:00.000000Z", "2024-01-31T00:24:00.000000Z"),
        ),
        (
            "created_at = created_at - interval '1 microsecond'",
            ("created_at", "2024-01-31T23:24:00.000000Z", "2024-01-31T23:23:59.999999Z"),
        ),
    ],
)
def test_an_edited_row_is_named_with_part_line_and_field(
    loaded: Import, change: str, difference: tuple[str, Any, Any]
) -> None:
    edit(loaded, change, 25)
    assert loaded.verify().differences == [Difference("export.jsonl", 25, *difference)]
    assert {"content", "chunk digests"} <= loaded.failed_checks()


def test_a_deleted_row_is_named_and_fails_the_counts(loaded: Import) -> None:
    query(loaded.url, "DELETE FROM analytics_events WHERE export_line = 7")
    verification = loaded.verify()
    assert verification.differences == [Difference("export.jsonl", 7, "(row)", "present", "missing")]
    assert loaded.failed_checks() == {"counts", "content", "chunk digests"}
    assert ("2024-01", "lesson_completed", 20, 19) in verification.months


def test_an_edit_that_says_the_same_is_no_difference(loaded: Import) -> None:
    edit(loaded, 'payload = \'{"progress": 2.40e-1, "number": 24.0}\'', 25)
    edit(loaded, "imported_at = now(), tenant = ''", 26)
    assert loaded.verify().status == "passed"


def test_a_ledger_digest_that_was_edited_is_found(loaded: Import) -> None:
    query(loaded.url, "UPDATE import_chunks SET digest = md5(digest) WHERE chunk_number = 2")
    assert loaded.failed_checks() == {"chunk digests"}


def test_a_chunk_that_was_never_loaded_is_missing(loaded: Import) -> None:
    query(loaded.url, "DELETE FROM import_chunks WHERE chunk_number = 3")
    assert loaded.failed_checks() == {"content", "chunk digests"}


def test_a_chunk_nobody_looked_at_fails_the_content_check(loaded: Import) -> None:
    verification = sum_proofs(loaded.manifest, verify_chunks(loaded.task(0, 1, 2)))
    assert [check["status"] for check in verification.checks] == ["passed", "failed", "passed"]


def test_thousands_of_differences_are_counted_but_only_fifty_named(target: str, tmp_path: Path) -> None:
    file = write_export(tmp_path / "export.jsonl", (make_event(n) for n in range(120)))
    begun = load(target, file, chunk=50)
    query(target, "UPDATE analytics_events SET user_id = 'x', session_id = 'y'")
    verification = begun.verify()
    assert len(verification.differences) == 50
    assert "0 missing, 120 different" in verification.checks[1]["detail"]


def test_spot_checks_read_every_record_of_a_small_export(loaded: Import) -> None:
    result = loaded.spot_check()
    assert (result.checked, result.equal, result.differences) == (40, 40, [])


def test_a_spot_check_finds_an_edited_row(loaded: Import) -> None:
    edit(loaded, "course_id = 'course-2'", 12)
    result = loaded.spot_check()
    assert result.equal == result.checked - 1 == 39
    assert result.differences == [Difference("export.jsonl", 12, "course_id", "course-1", "course-2")]


def _change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_a_spot_check_finds_a_record_whose_bytes_changed(loaded: Import, tmp_path: Path) -> None:
    _change(tmp_path / "export.jsonl", '"number": 17', '"number": 71')
    result = loaded.spot_check()
    assert [(d.line, d.field) for d in result.differences] == [(18, "(row)")]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: _change(file, '{"event_type": "lesson_started"', '{"event_type": "lesson-started" ,'),
        lambda file: file.write_text("\n" + file.read_text()),
        lambda file: file.write_text(""),
        lambda file: file.unlink(),
    ],
    ids=["broken", "shifted", "emptied", "gone"],
)
def test_a_spot_check_refuses_an_export_that_is_not_what_it_was(
    loaded: Import, tmp_path: Path, spoil: Callable[[Path], Any]
) -> None:
    spoil(tmp_path / "export.jsonl")
    with pytest.raises(ExportError, match="export"):
        loaded.spot_check()


def test_a_spot_check_refuses_an_archive_that_lost_its_end(target: str, tmp_path: Path) -> None:
    lines = [json.dumps(make_event(n)).encode() + b"\n" for n in range(20)]
    (tmp_path / "export.jsonl.gz").write_bytes(gzip.compress(b"".join(lines)))
    begun = load(target, tmp_path / "export.jsonl.gz")
    (tmp_path / "export.jsonl.gz").write_bytes(gzip.compress(b"".join(lines[:10])))
    with pytest.raises(ExportError, match=r"export\.jsonl\.gz: ends before \d+ of its records"):
        begun.spot_check()


def test_hostile_values_arrive_whole_and_verify(target: str, tmp_path: Path) -> None:
    lines = [
        f'{{"event_type":"x","occurred_at":"2024-01-01T00:00:{n:02}Z","payload":{{"value":{value}}}}}'
        for n, value in enumerate(HOSTILE.values())
    ]
    begun = load(target, write_export(tmp_path / "export.jsonl", lines))
    assert (begun.counts().loaded, begun.counts().sanitised) == (len(HOSTILE), 4)
    assert (begun.verify().status, begun.spot_check().differences) == ("passed", [])
    values = [v for (v,) in query(target, "SELECT payload -> 'value' FROM analytics_events ORDER BY created_at")]
    found = dict(zip(HOSTILE, values, strict=True))
    assert (found["nul"], found["high half"]) == (r"a\u0000b", r"\ud83d")
    assert (found["huge"], found["astral"]) == (10**400, json.loads(HOSTILE["astral"]))


@example(1e22)
@example(5e-324)
@example({"a": [-0.0, 1e16, 123456789.123456789]})
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(JSON_VALUES)
def test_what_jsonb_gives_back_has_the_canonical_form_of_what_went_in(target: str, value: Any) -> None:
    source, _ = mark_unstorable(json.dumps(value).encode())
    with psycopg.connect(target) as connection:
        ((text,),) = connection.execute("SELECT %s::jsonb::text", (source.decode(),)).fetchall()
    assert encode_value(decode_value(text.encode())) == encode_value(decode_value(source))
