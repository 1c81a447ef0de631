"""Records that repeat others of the same export: who wins, and what the others are."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from loading import InProcess, make_event, stage, write_export

from hindcast import repeat_conflicts, repeats
from hindcast.manifest import Manifest, read_repeats
from hindcast.repeat_conflicts import read_conflicts

pytest_plugins = ["reading_fixtures"]
pytestmark = pytest.mark.usefixtures("home")


def repeated_lines(folder: Path, manifest: Manifest) -> dict[int, str]:
    """Line -> what it is, of all records that repeat another (in exports of one segment and no blank lines)."""
    found = {}
    for chunk in manifest.chunks:
        for row, is_conflict in read_repeats(folder, chunk.number).items():
            found[chunk.staged_as.first_line + row] = "conflict" if is_conflict else "duplicate"
    return found


def find(tmp_path: Path, records: list[Any], **request: Any) -> dict[int, str]:
    _, folder, manifest = stage(write_export(tmp_path / "e.jsonl", records), **request)
    found = repeated_lines(folder, manifest)
    assert manifest.totals.duplicate == list(found.values()).count("duplicate")
    assert manifest.totals.conflict == list(found.values()).count("conflict")
    assert sum(count for _, _, count in manifest.months) == len(records) - len(found)
    return found


def test_the_first_of_equal_records_wins(tmp_path: Path) -> None:
    records = [make_event(1), make_event(2), make_event(1), make_event(1)]
    assert find(tmp_path, records) == {3: "duplicate", 4: "duplicate"}


def test_with_replace_the_last_wins(tmp_path: Path) -> None:
    records = [make_event(1), make_event(2), make_event(1, event_id="x"), make_event(1), make_event(3, event_id="x")]
    assert find(tmp_path, records, on_conflict="replace") == {1: "duplicate", 3: "conflict"}


def test_a_record_in_another_spelling_is_a_duplicate(tmp_path: Path) -> None:
    respelt = {
        "payload": {"progress": 0.01, "number": 1.0},
        "lessonId": "lesson-0",
        "courseId": "course-1",
        "userId": "learner-1",
        "type": "lesson_started",
        "timestamp": "2024-02-01 01:01:00.000+02:00",
    }
    assert find(tmp_path, [make_event(1), respelt, json.dumps(respelt, indent=None)]) == {
        2: "duplicate",
        3: "duplicate",
    }


@pytest.mark.parametrize("change", [{"payload": {}}, {"occurred_at": "2024-01-31T23:59:00Z"}, {"user_id": None}])
def test_the_same_own_id_with_anything_else_changed_is_a_conflict(tmp_path: Path, change: dict[str, Any]) -> None:
    first = make_event(1, event_id="x")
    assert find(tmp_path, [first, first | change, first]) == {2: "conflict", 3: "duplicate"}


def test_a_conflict_names_the_fields_that_differ_and_the_record_it_contradicts(tmp_path: Path) -> None:
    first = make_event(1, event_id="x", payload={"a": 1, "b": True})
    other = make_event(1, event_id="x", payload={"a": 2, "b": 1}, user_id=None)
    _, folder, _ = stage(write_export(tmp_path / "e.jsonl", [make_event(0), first, "no", other]))
    (conflict,) = read_conflicts(folder)
    assert (conflict.part, conflict.line, conflict.against) == ("e.jsonl", 4, "e.jsonl line 2")
    assert conflict.fields == {"user_id": ["learner-1", None], "payload.a": [1, 2], "payload.b": [True, 1]}


def test_records_without_an_own_id_that_differ_are_different_events(tmp_path: Path) -> None:
    assert find(tmp_path, [make_event(1), make_event(1, payload={}), make_event(1, user_id=None)]) == {}


def test_repeats_are_found_across_parts_in_their_order(tmp_path: Path) -> None:
    export = tmp_path / "export"
    export.mkdir()
    for number in (10, 9):
        write_export(export / f"p{number}.jsonl", [make_event(1, event_id="x", payload={"part": number})])
    _, folder, manifest = stage(export)
    assert manifest.totals.conflict == 1
    (conflict,) = read_conflicts(folder)
    assert (conflict.part, conflict.against) == ("p10.jsonl", "p9.jsonl line 1")


def test_many_passes_find_what_one_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [make_event(n % 40, event_id=f"id-{n % 30}" if n % 3 else None) for n in range(300)]
    one = find(tmp_path, records, chunk=7)
    assert {"duplicate", "conflict"} == set(one.values())
    monkeypatch.setattr(repeats, "RECORDS_A_PASS", 13)
    monkeypatch.setattr(repeats, "_ROOM_BEYOND", 0)  # passes of so few differ by more
    monkeypatch.setenv("HINDCAST_HOME", str(tmp_path / "other"))
    assert find(tmp_path, records, chunk=7) == one


@pytest.mark.parametrize("on_conflict", ["keep", "replace"])
def test_repeats_are_those_that_a_slow_reading_finds(tmp_path: Path, on_conflict: str) -> None:
    records = [make_event(n * n % 17, event_id=f"id-{n % 11}") for n in range(200)]
    expected, winners = {}, {}
    numbered = list(enumerate(records, 1))
    for line, record in numbered if on_conflict == "keep" else reversed(numbered):
        winner = winners.setdefault(record["event_id"], record)
        if winner is not record:
            expected[line] = "duplicate" if winner == record else "conflict"
    assert find(tmp_path, records, on_conflict=on_conflict, chunk=9) == dict(sorted(expected.items()))


def test_conflicts_are_read_for_some_chunks_alone(tmp_path: Path) -> None:
    records = [make_event(n, event_id=f"id-{n % 10}") for n in range(40)]
    _, folder, _ = stage(write_export(tmp_path / "e.jsonl", records), chunk=7)
    everything = list(read_conflicts(folder))
    assert [conflict.line for conflict in everything] == [*range(11, 41)]
    assert list(read_conflicts(folder, {2, 4})) == [conflict for conflict in everything if conflict.chunk in (2, 4)]


def test_conflicts_are_in_file_order_whoever_describes_them_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeat_conflicts, "_CONFLICTS_A_CALL", 3)

    class LastFirst(InProcess):
        def map_unordered(self, function: str, calls: Iterable[tuple[object, ...]]) -> Iterator[Any]:
            return super().map_unordered(function, reversed(list(calls)))

    records = [make_event(n, event_id=f"id-{n % 10}") for n in range(40)]
    _, folder, _ = stage(write_export(tmp_path / "e.jsonl", records), LastFirst(), chunk=7)
    assert [conflict.line for conflict in read_conflicts(folder)] == [*range(11, 41)]
