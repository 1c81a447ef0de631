"""The plan's counts: what a load would find, without loading."""

from dataclasses import replace
from pathlib import Path
from uuid import UUID

from loading import begin, count_events, load, make_event, write_export

from hindcast.compare import Comparison, compare_chunks, merge_comparisons
from hindcast.load_task import LoadTask

pytest_plugins = ["loading_fixtures"]


def compare(task: LoadTask) -> Comparison:
    return merge_comparisons([compare_chunks(task)])


def test_everything_is_new_to_an_empty_table(target: str, tmp_path: Path) -> None:
    staged = begin(target, write_export(tmp_path / "h.jsonl", map(make_event, range(58, 62))))
    none = {"already_there": 0, "conflicting": 0}
    assert compare(staged.task()) == {
        ("2024-01", "lesson_completed"): {"new": 1} | none,
        ("2024-01", "lesson_started"): {"new": 1} | none,
        ("2024-02", "lesson_completed"): {"new": 1} | none,
        ("2024-02", "lesson_started"): {"new": 1} | none,
    }
    assert count_events(target) == 0


def test_what_is_there_is_told_from_what_contradicts_it(target: str, tmp_path: Path) -> None:
    there = [make_event(0, event_id="a"), make_event(2), make_event(4, event_id="b")]
    load(target, write_export(tmp_path / "first.jsonl", there))
    # Another content at the same time, and the same id at another time.
    changed = [make_event(0, event_id="a", lesson_id="other"), make_event(6, event_id="b")]
    staged = begin(target, write_export(tmp_path / "second.jsonl", [*changed, make_event(2), make_event(8)]))
    assert compare(staged.task()) == {("2024-01", "lesson_completed"): {"new": 1, "already_there": 1, "conflicting": 2}}


def test_comparing_says_what_a_load_then_does(target: str, tmp_path: Path) -> None:
    load(target, write_export(tmp_path / "first.jsonl", map(make_event, range(0, 40, 3))))
    staged = begin(target, write_export(tmp_path / "second.jsonl", map(make_event, range(40))), chunk=7)
    expected = compare(replace(staged.task(), run_id=UUID(int=0)))
    counts = staged.load()
    assert sum(row["new"] for row in expected.values()) == counts.loaded == 26
    assert sum(row["already_there"] for row in expected.values()) == counts.duplicate == 14


def test_comparisons_of_several_workers_add_up() -> None:
    key, other = ("2024-01", "x"), ("2024-02", "x")
    merged = merge_comparisons([{key: {"new": 1}}, {key: {"new": 2, "conflicting": 1}}, {other: {"already_there": 3}}])
    assert merged == {
        key: {"new": 3, "already_there": 0, "conflicting": 1},
        other: {"new": 0, "already_there": 3, "conflicting": 0},
    }
