"""Sums of row hashes: the kernel's are the server's, and what they do not show is compared row by row."""

import json
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from loading import Import, begin, load, make_event, query, write_export
from psycopg import sql

from hindcast import row_sums
from hindcast.database import connect
from hindcast.kernel import is_compiled
from hindcast.load import load_and_prove
from hindcast.row_sums import HeldSum, HeldSums, SumPlan, plan_earlier, plan_own, sum_own, sum_span
from hindcast.settings import load_settings
from hindcast.staged_rows import StagedRows, read_staged_rows

pytest_plugins = ["loading_fixtures"]
pytestmark = pytest.mark.skipif(not is_compiled, reason="the kernel is not compiled")

NUMBERS = [
    "0", "1", "-1", "0.5", "-0.25", "1e5", "1e22", "1.5e22", "4.5e-05", "-1.25e-9", "1e-7", "12345678901234567890123",
    "0.1234567890123456789", "100", "1.50", "-0.0", "0e5", "1E2", "3e0", "1e300", "9007199254740993", "1e-300",
]  # fmt: skip
PAYLOADS: list[str] = [
    *(f'{{"v": {number}}}' for number in NUMBERS),
    '{"bb": 1, "a": 2, "ccc": 3, "ab": 4, "B": 5, "é": 6, "": 7, "aa": {"zz": [], "z": {}}}',
    '{"a": [1, [2, [3, {"b": null}]], "x", true, false, null, {}, []]}',
    '{"text": "\\u0001\\u001f\\b\\f\\n\\r\\t\\"\\\\\\/ \\u007f \\u00e9 \\ud83d\\ude00"}',
    '{"commas": ",]}{[:\\"", "long": "' + "x" * 5_000 + '"}',
    '{"key \\" with \\\\ escapes": 1, "k": 2}',
    "{}",
]


def staged(run: Import, number: int) -> StagedRows:
    return read_staged_rows(run.folder, run.manifest.chunks[number], run.plan.format)


def held_by(run: Import) -> HeldSums:
    with connect(run.url, load_settings()) as connection:
        return sum_own(connection, run.run.run_id, range(len(run.manifest.chunks)))


def held_with(run: Import, seed: int) -> Mapping[int, HeldSum]:
    with connect(run.url, load_settings()) as connection:
        plan = replace(plan_own(connection, run.run.run_id, range(len(run.manifest.chunks))), seed=seed)
        return plan.put_together(sum_span(connection, plan, span) for span in plan.spans).chunks


def found_by_sums(run: Import) -> list[bool]:
    """Of each chunk, whether its sums show that its rows are there."""
    held = held_by(run)
    return [held.match(staged(run, n), n) is not None for n in range(len(run.manifest.chunks))]


def earlier_plan(run: Import) -> SumPlan:
    with connect(run.url, load_settings()) as connection:
        return plan_earlier(connection, run.run.run_id, run.manifest.chunks)


def held_earlier(run: Import) -> HeldSums:
    plan = earlier_plan(run)
    with connect(run.url, load_settings()) as connection:
        return plan.put_together(sum_span(connection, plan, span) for span in plan.spans)


@pytest.fixture
def loaded(target: str, tmp_path: Path) -> Import:
    return load(target, write_export(tmp_path / "export.jsonl", (make_event(n) for n in range(60))), chunk=10)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_row_has_the_servers_hash(target: str, tmp_path: Path, payload: str) -> None:
    record = json.dumps(make_event(1, payload="here")).replace('"here"', payload)
    run = load(target, write_export(tmp_path / "export.jsonl", [record]))
    # A key with escapes has another length than is written: that is left to be compared row by row.
    assert found_by_sums(run) == ["escapes" not in payload]
    assert run.verify().status == "passed"


def test_rows_of_any_shape_have_the_servers_hashes(target: str, tmp_path: Path) -> None:
    drawn = random.Random(7)

    def value(depth: int) -> Any:
        kind = drawn.randrange(8 if depth < 4 else 6)
        if kind == 0:
            return drawn.choice([None, True, False, 0, "", -1, 10**17])
        if kind == 1:
            return round(drawn.uniform(-1e6, 1e6), drawn.randrange(9))
        if kind == 2:
            return drawn.uniform(-1, 1) * 10.0 ** drawn.randrange(-30, 30)
        if kind < 6:
            return text(drawn.randrange(40))
        if kind == 6:
            return [value(depth + 1) for _ in range(drawn.randrange(4))]
        return {text(drawn.randrange(12), "abé_ "): value(depth + 1) for _ in range(drawn.randrange(9))}

    def text(size: int, letters: str = 'ab,:{}[]"\\\n\té€😀 ') -> str:
        return "".join(drawn.choice(letters) for _ in range(size))

    names = ("user_id", "anonymous_id", "session_id", "course_id", "lesson_id", "module_id")
    records = []
    for number in range(600):
        fields = {name: text(1 + drawn.randrange(30), "aé-0") for name in names if drawn.random() < 0.6}
        records.append(make_event(number, payload={"v": value(0), "w": value(0)}, **fields))
    run = load(target, write_export(tmp_path / "export.jsonl", records), chunk=20)
    assert run.counts().loaded > 500
    assert all(found_by_sums(run))


def test_rows_found_by_their_times_give_the_sums_of_those_found_by_their_chunks(
    loaded: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_chunks = held_with(loaded, 7)
    monkeypatch.setattr("hindcast.row_sums._MOST_OF_ITS_DAYS", 0)
    assert held_with(loaded, 7) == by_chunks and len(by_chunks) == 6


def test_no_row_is_sorted_where_there_are_no_statistics(loaded: Import) -> None:
    query = row_sums._SUM.format(row_sums._TEXTS, sql.SQL(""))
    bounds = {"first": 1, "last": 9, "seed": 7, "start": "2024-01-01", "end": "2025-01-01"}
    with connect(loaded.url, load_settings()) as connection, connection.transaction():
        for setting in row_sums._SETTINGS:
            connection.execute(setting)
        plan = "\n".join(line for (line,) in connection.execute(sql.SQL("EXPLAIN ") + query, bounds))
    assert "HashAggregate" in plan and "Sort" not in plan


def test_only_the_changed_chunk_is_not_found_by_its_sums(loaded: Import) -> None:
    query(loaded.url, "UPDATE analytics_events SET user_agent = 'x' WHERE export_line = 25")
    assert found_by_sums(loaded) == [True, True, False, True, True, True]
    assert loaded.failed_checks() == {"counts", "content", "chunk digests"} - {"counts"}


def test_rows_that_change_places_are_noticed(loaded: Import) -> None:
    query(
        loaded.url,
        "UPDATE analytics_events AS e SET payload = o.payload FROM analytics_events AS o"
        " WHERE (e.export_line, o.export_line) IN ((3, 4), (4, 3))",
    )
    assert found_by_sums(loaded)[0] is False
    assert {d.line for d in loaded.verify().differences} == {3, 4}


def test_values_that_change_rows_are_noticed_in_every_column(loaded: Import) -> None:
    query(loaded.url, "UPDATE analytics_events SET user_id = 'one', course_id = 'one' WHERE export_line % 2 = 0")
    query(loaded.url, "UPDATE analytics_events SET user_id = 'two', course_id = 'two' WHERE export_line % 2 = 1")
    before = {n: (held.rows, held.total) for n, held in held_with(loaded, 7).items()}
    for column in ("user_id", "course_id"):
        change = f"UPDATE analytics_events SET {column} = CASE {column} WHEN 'one' THEN 'two' ELSE 'one' END"  # noqa: S608
        query(loaded.url, change)
        after = {n: (held.rows, held.total) for n, held in held_with(loaded, 7).items()}
        assert all(after[n] != before[n] for n in before)
        query(loaded.url, change)
    assert {n: (held.rows, held.total) for n, held in held_with(loaded, 7).items()} == before


def test_each_asking_has_a_seed_of_its_own(loaded: Import) -> None:
    one, two = held_by(loaded), held_by(loaded)
    assert one.seed != two.seed and one.chunks != two.chunks
    assert one.chunks.keys() == two.chunks.keys() and one.among([3, 99]).chunks.keys() == {3}


def test_of_chunks_not_asked_for_nothing_is_shown(loaded: Import) -> None:
    assert HeldSums().match(staged(loaded, 0), 0) is None
    few = HeldSums(1, {0: HeldSum(1, 9, 0)})
    assert few.match(staged(loaded, 0), 0) is None


def test_without_the_kernel_there_is_nothing_to_sum(loaded: Import, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HINDCAST_KERNEL", "off")
    with connect(loaded.url, load_settings()) as connection:
        assert plan_own(connection, loaded.run.run_id, [0, 1]).spans == ()
    assert loaded.verify().status == "passed"


def test_columns_of_a_type_without_a_hash_are_compared_row_by_row(loaded: Import) -> None:
    query(loaded.url, "DROP VIEW hindcast_run_events")
    query(loaded.url, "ALTER TABLE analytics_events ALTER COLUMN user_agent TYPE json USING NULL")
    assert held_by(loaded).chunks == {}
    assert loaded.verify().status == "passed"


def test_the_same_lines_are_found_by_an_earlier_runs_sums(loaded: Import, tmp_path: Path) -> None:
    again = begin(loaded.url, tmp_path / "export.jsonl", is_new_run=True, chunk=10)
    held = held_earlier(again)
    assert held.chunks.keys() == set(range(6))
    found = load_and_prove(replace(again.task(), held=held))
    assert [item.counts.duplicate for item in found] == [10] * 6
    assert [item.proof.matching for item in found if item.proof] == [10] * 6
    again.finish()
    assert query(loaded.url, "SELECT count(*) FROM analytics_events") == [(60,)]


def test_what_changed_since_is_loaded_or_kept_out_as_without_sums(loaded: Import, tmp_path: Path) -> None:
    query(loaded.url, "DELETE FROM analytics_events WHERE export_line = 15")
    query(loaded.url, "UPDATE analytics_events SET payload = '{}' WHERE export_line = 35")
    again = begin(loaded.url, tmp_path / "export.jsonl", is_new_run=True, chunk=10)
    found = load_and_prove(replace(again.task(), held=held_earlier(again)))
    assert [item.proof is None for item in found] == [False, True, False, True, False, False]
    assert (again.counts().loaded, again.counts().conflict, again.counts().duplicate) == (1, 1, 58)


def test_rows_of_another_export_of_the_same_shape_are_not_taken_for_its_own(loaded: Import, tmp_path: Path) -> None:
    write_export(tmp_path / "export.jsonl", (make_event(n, module_id="other") for n in range(60)))
    again = begin(loaded.url, tmp_path / "export.jsonl", is_new_run=True, chunk=10)
    load_and_prove(replace(again.task(), held=held_earlier(again)))
    assert again.counts().loaded == 60


def test_a_run_rolled_back_is_not_asked(loaded: Import, tmp_path: Path) -> None:
    query(loaded.url, "UPDATE import_runs SET status = 'rolled_back'")
    again = begin(loaded.url, tmp_path / "export.jsonl", is_new_run=True, chunk=10)
    assert earlier_plan(again).chunks == {}
