"""Rows that a run took the place of come back when it is rolled back, and go again when it is restored."""

from pathlib import Path
from typing import Any

import pytest
from loading import Import, load, make_event, query, write_export
from undoing import ALL_DAYS, preview, rebuild_rollups, restore, roll_back, table_digest

pytest_plugins = ["loading_fixtures"]


def own(number: int, **fields: Any) -> dict[str, Any]:
    """An event with an id of its source's, which another may contradict."""
    return make_event(number, event_id=f"own-{number}") | fields


def load_own(url: str, folder: Path, name: str, numbers: range, **fields: Any) -> Import:
    export = write_export(folder / f"{name}.jsonl", (own(number, **fields) for number in numbers))
    begun = load(url, export, dataset=name, on_conflict="replace")
    rebuild_rollups(url)
    return begun


def courses(url: str) -> list[tuple[Any, ...]]:
    return query(url, "SELECT course_id, count(*) FROM analytics_events GROUP BY 1 ORDER BY 1")


@pytest.mark.parametrize("is_live", [False, True], ids=["of a run", "of the live platform"])
@pytest.mark.parametrize(
    "contradiction", [{"course_id": "other"}, {"occurred_at": "2024-02-20T10:00:00Z"}], ids=["content", "time"]
)
def test_a_replaced_row_comes_back_whole_with_its_owner(
    target: str, tmp_path: Path, is_live: bool, contradiction: dict[str, Any]
) -> None:
    load_own(target, tmp_path, "first", range(10))
    if is_live:
        query(
            target,
            "UPDATE analytics_events SET import_chunk_id = NULL, imported_at = NULL,"
            " user_agent = 'a ''b'' \"c\" \\ ,(' || chr(10)",
        )
    rebuild_rollups(target)
    before = table_digest(target)
    second = load_own(target, tmp_path, "second", range(5, 15), **contradiction)
    between = table_digest(target)
    assert preview(target, run=second.run.run_id).put_back == 5
    report = roll_back(target, run=second.run.run_id)
    assert (report["deleted"], report["replaced_rows_restored"]) == (10, 5)
    assert table_digest(target) == before
    assert restore(target, report["archive"])["restored"] == 10
    assert table_digest(target) == between
    assert restore(target, report["archive"])["restored"] == 0
    assert table_digest(target) == between


def test_of_a_chain_the_last_row_that_is_not_rolled_back_comes_back(target: str, tmp_path: Path) -> None:
    load_own(target, tmp_path, "first", range(4), course_id="one")
    second = load_own(target, tmp_path, "second", range(4), course_id="two")
    third = load_own(target, tmp_path, "third", range(4), course_id="three")
    assert roll_back(target, run=second.run.run_id)["deleted"] == 0
    assert courses(target) == [("three", 4)]
    assert roll_back(target, run=third.run.run_id)["replaced_rows_restored"] == 4
    assert courses(target) == [("one", 4)]


def test_what_the_selection_takes_too_does_not_come_back(target: str, tmp_path: Path) -> None:
    load_own(target, tmp_path, "first", range(4), course_id="one")
    load_own(target, tmp_path, "second", range(4), course_id="two")
    between = table_digest(target)
    report = roll_back(target, window=ALL_DAYS)
    assert (report["deleted"], report["replaced_rows_restored"], courses(target)) == (4, 0, [])
    restore(target, report["archive"])
    assert table_digest(target) == between


def test_a_replaced_payload_keeps_every_digit(target: str, tmp_path: Path) -> None:
    exact = '{"event_type":"x","occurred_at":"2024-01-01T00:00:00Z","event_id":"own","payload":{"n":%s}}'
    load(target, write_export(tmp_path / "old.jsonl", [exact % "0.12345678901234567890123"]))
    new = load(target, write_export(tmp_path / "new.jsonl", [exact % "98765432109876543210.5"]), on_conflict="replace")
    archive = roll_back(target, run=new.run.run_id)["archive"]
    assert query(target, "SELECT payload ->> 'n' FROM analytics_events") == [("0.12345678901234567890123",)]
    restore(target, archive)
    assert query(target, "SELECT payload ->> 'n' FROM analytics_events") == [("98765432109876543210.5",)]
