"""Derived events rolled back and restored: a key never has two."""

from pathlib import Path

import door_log
import pytest
from loading import load, query, write_export
from undoing import restore, roll_back

from hindcast.formats import FORMATS

pytest_plugins = ["loading_fixtures"]

MADE = "SELECT user_id, created_at::time::text FROM analytics_events WHERE event_type = '$first_visit' ORDER BY 2"


@pytest.fixture(autouse=True)
def sixth_format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, "door_log", door_log)


def write_visits(path: Path, minute: int, *people: str) -> Path:
    at = f"2024-01-31T10:{minute:02}:00Z"
    return write_export(path, ({"at": at, "who": person, "door": "north"} for person in people))


def test_restoring_brings_them_back_and_remembers_them(target: str, tmp_path: Path) -> None:
    first = load(target, write_visits(tmp_path / "a.jsonl", 1, "ann", "bob"), format="door_log")
    archive = roll_back(target, run=first.run.run_id)["archive"]
    report = restore(target, archive)
    assert (report["status"], report["restored"]) == ("restored", 4)
    assert load(target, write_visits(tmp_path / "b.jsonl", 2, "ann"), format="door_log").counts().derived == 0


def test_a_key_that_has_another_event_by_now_keeps_that_one(target: str, tmp_path: Path) -> None:
    first = load(target, write_visits(tmp_path / "a.jsonl", 1, "ann", "bob"), format="door_log")
    archive = roll_back(target, run=first.run.run_id)["archive"]
    load(target, write_visits(tmp_path / "b.jsonl", 2, "ann"), format="door_log")
    for _ in range(2):
        report = restore(target, archive)
        assert (report["status"], report["differing"]) == ("restored", 0)
        content = next(check for check in report["verification"]["checks"] if check["name"] == "content")
        assert "1 derived events whose key has another by now were not" in content["detail"]
    assert query(target, MADE) == [("bob", "10:01:00"), ("ann", "10:02:00")]


def test_a_key_restored_after_its_other_event_was_rolled_back_is_remembered(target: str, tmp_path: Path) -> None:
    first = load(target, write_visits(tmp_path / "a.jsonl", 1, "ann"), format="door_log")
    archive = roll_back(target, run=first.run.run_id)["archive"]
    second = load(target, write_visits(tmp_path / "b.jsonl", 2, "ann"), format="door_log")
    roll_back(target, run=second.run.run_id)
    restore(target, archive)
    assert load(target, write_visits(tmp_path / "c.jsonl", 3, "ann"), format="door_log").counts().derived == 0
    assert query(target, MADE) == [("ann", "10:01:00")]


def test_verification_of_a_run_rolled_back_since_misses_none_of_them(target: str, tmp_path: Path) -> None:
    first = load(target, write_visits(tmp_path / "a.jsonl", 1, "ann"), format="door_log")
    second = load(target, write_visits(tmp_path / "b.jsonl", 2, "ann", "bob"), format="door_log")
    roll_back(target, run=first.run.run_id)
    assert second.verify().status == "passed"
    roll_back(target, run=second.run.run_id)
    assert first.verify().status == "passed" and second.verify().status == "passed"
