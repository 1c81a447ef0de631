"""One export of hostile lines: each ends as it must, the books balance, and PostgreSQL can hold what is staged."""

from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
import pytest
from loading import stage
from torture_cases import STAGED, all_cases, make_record

from hindcast.canonical import decode_value, encode_value
from hindcast.manifest import Manifest
from hindcast.staging import SCHEMA, read_chunk, read_rejects

pytest_plugins = ["reading_fixtures"]
pytestmark = pytest.mark.usefixtures("home")

TEXTS = [field.name for field in SCHEMA if field.type == "string"]


@pytest.fixture
def cases() -> list[tuple[bytes, str]]:
    too_long = make_record(b'"' + b"x" * (17 << 20) + b'"')
    return [*all_cases(), (too_long, "line_too_long"), (make_record(b'"after the long line"'), STAGED)]


@pytest.fixture
def staged(cases: list[tuple[bytes, str]], tmp_path: Path) -> tuple[Path, Manifest]:
    (tmp_path / "torture.jsonl").write_bytes(b"\n".join(line for line, _ in cases))
    _, folder, manifest = stage(tmp_path / "torture.jsonl", format="analytics_history", chunk=50)
    return folder, manifest


def staged_rows(folder: Path, manifest: Manifest) -> list[dict[str, Any]]:
    tables = (read_chunk(folder, c.segment, c.staged_as.row_group) for c in manifest.chunks if c.staged_as.staged)
    return [row for table in tables for row in table.to_pylist()]


def test_every_hostile_line_ends_as_it_must(cases: list[tuple[bytes, str]], staged: tuple[Path, Manifest]) -> None:
    folder, manifest = staged
    found = {row["line"]: STAGED for row in staged_rows(folder, manifest)}
    found |= {reject.line: reject.code for reject in read_rejects(folder, 0)}
    wrong = {
        f"line {number} {line[:100]!r}": (found.get(number), verdict)
        for number, (line, verdict) in enumerate(cases, 1)
        if found.get(number) != verdict
    }
    assert wrong == {}


def test_the_books_of_the_hostile_export_balance(cases: list[tuple[bytes, str]], staged: tuple[Path, Manifest]) -> None:
    totals = staged[1].totals
    verdicts = Counter(verdict for _, verdict in cases)
    assert totals.lines == len(cases) == totals.staged + totals.rejected
    assert totals.rejects | {STAGED: totals.staged} == dict(verdicts)
    assert sum(chunk.staged_as.records for chunk in staged[1].chunks) == len(cases)


def test_every_reject_says_where_and_why_in_text_that_can_be_stored(staged: tuple[Path, Manifest]) -> None:
    for reject in read_rejects(staged[0], 0):
        assert reject.sentence
        assert len(reject.sentence) < 300
        assert "\x00" not in reject.raw + reject.sentence
        (reject.raw + reject.sentence).encode()
        assert len(reject.raw) <= 2000


def test_postgres_can_hold_every_staged_value_and_gives_its_canonical_form_back(
    staged: tuple[Path, Manifest], empty_database: str
) -> None:
    rows = staged_rows(*staged)
    with psycopg.connect(empty_database) as connection:
        for row in rows:
            texts = [row[name] for name in TEXTS if name != "payload"]
            answer = connection.execute("SELECT %s::text[], %s::jsonb::text", (texts, row["payload"])).fetchone()
            assert answer
            assert answer[0] == texts
            assert encode_value(decode_value(answer[1].encode())) == row["payload"].encode()


def test_what_was_made_storable_is_marked_and_visible(staged: tuple[Path, Manifest]) -> None:
    marked = [row for row in staged_rows(*staged) if row["is_sanitised"]]
    assert any("\\\\u0000" in row["payload"] for row in marked)
    assert any(row["user_id"] == "\\u0000" for row in marked)
    assert any(row["source_event_id"] == "\\ud800" for row in marked)
    assert len(marked) == 15
