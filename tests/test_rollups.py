"""Rollups against cases computed by hand (tests/gold/rollups), and how they are rebuilt and proved."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from loading import load, make_event, query, write_export
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from hindcast.database import add_months, connect
from hindcast.ledger import touched_days
from hindcast.rollups import (
    ROLLUPS,
    RollupProof,
    _select,
    days_with_rows,
    list_spans,
    merge_days,
    prove_rollup,
    rebuild_rollup,
    rollups_of,
)
from hindcast.settings import load_settings

pytest_plugins = ["loading_fixtures"]

GOLD = Path(__file__).parent / "gold" / "rollups"
CASES = sorted(path.parent for path in GOLD.glob("*/*/events.jsonl"))
LAST_OF_JANUARY, FIRST_OF_FEBRUARY = date(2024, 1, 31), date(2024, 2, 1)


def insert(connection: psycopg.Connection, event: dict[str, Any]) -> None:
    values = [Jsonb(value) if name == "payload" else value for name, value in event.items()]
    statement = sql.SQL("INSERT INTO analytics_events ({}) VALUES ({})").format(
        sql.SQL(", ").join(map(sql.Identifier, event)), sql.SQL(", ").join([sql.Placeholder()] * len(event))
    )
    connection.execute(statement, values)


@pytest.fixture
def days(target: str, tmp_path: Path) -> list[date]:
    """The two days of an import of 100 events, with every rollup built."""
    begun = load(target, write_export(tmp_path / "export.jsonl", (make_event(n) for n in range(100))))
    with connect(target, load_settings()) as connection:
        found = touched_days(connection, begun.run.run_id)
        for rollup in ROLLUPS:
            assert rebuild_rollup(connection, rollup, found).is_proved
    return found


def sort_keys(plan: Any) -> list[str]:
    """The keys of every sort of a plan, as EXPLAIN (FORMAT JSON) shows it."""
    if isinstance(plan, list):
        return [key for node in plan for key in sort_keys(node)]
    if not isinstance(plan, dict):
        return []
    return [*plan.get("Sort Key", ()), *(key for node in plan.values() for key in sort_keys(node))]


def as_json(value: Any) -> Any:
    """Days and hours in ISO 8601."""
    return value.isoformat() if isinstance(value, date) else value


def prove(url: str, rollup: str, days: list[date]) -> RollupProof:
    with connect(url, load_settings()) as connection:
        return prove_rollup(connection, rollup, days)


def test_every_rollup_has_cases() -> None:
    assert {case.parent.name for case in CASES} == set(ROLLUPS)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}-{case.name}")
def test_a_rollup_gives_what_was_computed_by_hand(target: str, case: Path) -> None:
    rollup, window = case.parent.name, (date(2024, 2, 1), date(2024, 3, 31))
    expected = json.loads((case / "expected.json").read_text(encoding="utf-8"))
    with connect(target, load_settings()) as connection:
        add_months(connection, *window)
        for line in (case / "events.jsonl").read_text(encoding="utf-8").splitlines():
            insert(connection, json.loads(line))
        days = days_with_rows(connection, None, None)
        proof = rebuild_rollup(connection, rollup, days)
        cursor = connection.cursor(row_factory=dict_row)
        rows = cursor.execute(sql.SQL("TABLE {} ORDER BY 1, 2, 3, 4, 5").format(sql.Identifier(rollup))).fetchall()
    numbers = {name for row in rows for name, value in row.items() if isinstance(value, Decimal)}
    for row in expected:
        row |= {name: Decimal(row[name]) for name in numbers if row[name] is not None}
    assert [{name: as_json(value) for name, value in row.items()} for row in rows] == expected
    assert proof == RollupProof(rollup, len(days), len(expected), 0, 0)


@pytest.mark.parametrize("rollup", rollups_of("analytics_history"))
def test_a_large_month_is_rebuilt_some_days_at_a_time(
    target: str, days: list[date], rollup: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = f"SELECT * FROM {rollup} ORDER BY 1, 2, 3"  # noqa: S608  # one of ours
    before = query(target, table)
    monkeypatch.setattr("hindcast.rollups.SPAN_BYTES", 1)
    with connect(target, load_settings()) as connection:
        spans = list(list_spans(connection, days))
        assert rebuild_rollup(connection, rollup, days).is_proved
    assert len(days) > 1 and all((end - start).days == 1 for start, end in spans)
    assert [start for start, _ in spans] == days
    assert before and query(target, table) == before


@pytest.mark.parametrize("rollup", rollups_of("analytics_history"))
def test_rebuilding_twice_gives_the_same(target: str, days: list[date], rollup: str) -> None:
    table = f"SELECT * FROM {rollup} ORDER BY 1, 2, 3"  # noqa: S608  # one of ours
    before = query(target, table)
    with connect(target, load_settings()) as connection:
        proofs = [rebuild_rollup(connection, rollup, days) for _ in range(2)]
    assert before
    assert proofs[0] == proofs[1]
    assert query(target, table) == before


def test_a_run_touches_the_days_it_changed_and_no_others(target: str, days: list[date], tmp_path: Path) -> None:
    assert days == [LAST_OF_JANUARY, FIRST_OF_FEBRUARY]
    records = [make_event(0), make_event(99, user_id="another")]
    begun = load(target, write_export(tmp_path / "more.jsonl", records))
    with connect(target, load_settings()) as connection:
        assert touched_days(connection, begun.run.run_id) == [FIRST_OF_FEBRUARY]


def test_only_the_days_asked_for_are_rebuilt(target: str, days: list[date]) -> None:
    query(target, "UPDATE daily_events SET events = -1")
    with connect(target, load_settings()) as connection:
        rebuild_rollup(connection, "daily_events", [FIRST_OF_FEBRUARY])
    assert query(target, "SELECT day, sum(events) FROM daily_events GROUP BY day ORDER BY day") == [
        (LAST_OF_JANUARY, -2),
        (FIRST_OF_FEBRUARY, 40),
    ]


def test_rows_of_a_day_that_lost_its_events_go_away(target: str, days: list[date]) -> None:
    query(target, "DELETE FROM analytics_events WHERE created_at >= '2024-02-01'")
    with connect(target, load_settings()) as connection:
        for rollup in ROLLUPS:
            assert rebuild_rollup(connection, rollup, days).is_proved
    assert query(target, "SELECT DISTINCT day FROM daily_lesson_dropoff") == [(LAST_OF_JANUARY,)]


@pytest.mark.parametrize(
    ("damage", "differing", "missing"),
    [
        (
            "UPDATE daily_events SET users = 9 WHERE day = '2024-02-01' AND event_type = 'lesson_started'",
            1,
            1,
        ),
        ("DELETE FROM daily_events WHERE day = '2024-01-31'", 0, 2),
        ("INSERT INTO daily_events VALUES ('2024-02-01', 'live', 'ghost', 1, 1, 1)", 1, 0),
        ("UPDATE analytics_events SET user_id = 'new' WHERE export_line = 3", 1, 1),
    ],
    ids=["tampered", "missing", "added", "raw changed"],
)
def test_the_proof_finds_a_rollup_that_is_not_what_the_rows_say(
    target: str, days: list[date], damage: str, differing: int, missing: int
) -> None:
    assert prove(target, "daily_events", days).is_proved
    query(target, damage)
    proof = prove(target, "daily_events", days)
    assert (proof.differing, proof.missing, proof.is_proved) == (differing, missing, False)


def test_events_that_arrive_during_a_rebuild_are_in_none_of_it_or_the_next(target: str, days: list[date]) -> None:
    with connect(target, load_settings()) as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT 1 FROM daily_events LIMIT 1")
        query(target, "UPDATE analytics_events SET user_id = 'late' WHERE export_line = 3")
        assert cursor.execute("SELECT count(*) FROM analytics_events WHERE user_id = 'late'").fetchone() == (0,)
        cursor.execute("COMMIT")
        assert rebuild_rollup(connection, "daily_events", days).is_proved


def test_lesson_dropoff_is_a_true_fraction(target: str, tmp_path: Path) -> None:
    kinds = ["lesson_started", "lesson_started", "lesson_completed", "lesson_started", "lesson_viewed"]
    records = [make_event(n, event_type=kind, lesson_id="l") for n, kind in enumerate(kinds)]
    records.append(make_event(9, event_type="lesson_completed", lesson_id="never started"))
    load(target, write_export(tmp_path / "export.jsonl", records))
    with connect(target, load_settings()) as connection:
        rebuild_rollup(connection, "daily_lesson_dropoff", [LAST_OF_JANUARY])
    rates = query(
        target,
        "SELECT round(completion_rate, 6), round(dropoff_rate, 6) FROM lesson_dropoff ORDER BY lesson_id",
    )
    assert rates == [(Decimal("0.333333"), Decimal("0.666667")), (None, None)]


def test_days_with_rows_include_those_whose_events_are_gone(target: str, days: list[date]) -> None:
    query(target, "DELETE FROM analytics_events WHERE created_at >= '2024-02-01'")
    noon = datetime(2024, 2, 1, 12, tzinfo=UTC)
    with connect(target, load_settings()) as connection:
        assert days_with_rows(connection, None, None) == days
        assert days_with_rows(connection, None, noon) == days
        assert days_with_rows(connection, noon, None) == [FIRST_OF_FEBRUARY]
        assert days_with_rows(connection, None, datetime(2024, 2, 1, tzinfo=UTC)) == [LAST_OF_JANUARY]


def test_neighbouring_days_become_one_range() -> None:
    days = [date(2024, 3, 1), date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 3), date(2024, 2, 28)]
    assert merge_days(days) == [(date(2024, 2, 28), date(2024, 3, 2)), (date(2024, 3, 3), date(2024, 3, 4))]


def test_no_days_change_nothing(target: str, days: list[date]) -> None:
    with connect(target, load_settings()) as connection:
        assert rebuild_rollup(connection, "daily_events", []) == RollupProof("daily_events", 0, 0, 0, 0)
    assert prove(target, "daily_events", days).is_proved


@pytest.mark.parametrize("rollup", ROLLUPS)
def test_texts_are_sorted_by_their_bytes_whatever_the_databases_language(target: str, rollup: str) -> None:
    # By the rules of a language it takes twice as long, and a group is a group in any order.
    window = {"window_start": datetime(2024, 1, 1, tzinfo=UTC), "window_end": datetime(2024, 2, 1, tzinfo=UTC)}
    with connect(target, load_settings()) as connection:
        connection.execute("SET enable_hashagg = off")
        statement = sql.SQL("EXPLAIN (VERBOSE, FORMAT JSON) ") + _select(rollup)
        keys = sort_keys(connection.execute(statement, window).fetchall()[0][0])
    others = [key for key in keys if 'COLLATE "C"' not in key]
    assert keys and all("created_at" in key or key.endswith("day") for key in others), others
