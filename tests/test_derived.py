"""Events made from others: one a key, whatever the order, the restarts and the undoing; states told as they change."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import door_log
import psycopg
import pytest
from loading import Import, begin, load, query
from undoing import roll_back

from hindcast import derived_keys
from hindcast.errors import TransientError
from hindcast.formats import FORMATS
from hindcast.load import load_chunks

pytest_plugins = ["loading_fixtures"]

MADE = (
    "SELECT event_type, user_id, payload ->> 'door', created_at FROM analytics_events"
    " WHERE event_type LIKE '$%' ORDER BY 4, 2"
)
COLOURS = (
    "SELECT created_at::time::text, payload -> 'from' ->> 'colour', payload -> 'to' ->> 'colour' FROM analytics_events"
    " WHERE event_type = '$door' ORDER BY 1"
)


@pytest.fixture(autouse=True)
def sixth_format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, "door_log", door_log)


def write_visits(path: Path, *visits: tuple[int, str | None, str], **fields: Any) -> Path:
    """Visits as (minute, who, door)."""
    lines = [
        json.dumps({"at": f"2024-01-31T{minute // 60:02}:{minute % 60:02}:00Z", "who": who, "door": door} | fields)
        for minute, who, door in visits
    ]
    path.write_text("\n".join([*lines, ""]))
    return path


@pytest.fixture
def visits(tmp_path: Path) -> Path:
    """Twelve visits of five pairs, the first of a pair not first in the file."""
    return write_visits(
        tmp_path / "visits.jsonl",
        (50, "ann", "north"), (10, "ann", "north"), (20, "bob", "north"), (21, "bob", "south"), (5, None, "north"),
        (30, "ann", "south"), (31, "ann", "south"), (20, "bob", "north"), (22, "bob", "south"), (40, "cid", "east"),
        (39, "", "east"), (41, "cid", "east"),
    )  # fmt: skip


FIRST = [(10, "ann", "north"), (20, "bob", "north"), (21, "bob", "south"), (30, "ann", "south"), (40, "cid", "east")]


def made(url: str) -> list[tuple[int, str, str]]:
    return [(at.hour * 60 + at.minute, who, door) for _, who, door, at in query(url, MADE)]


def test_the_earliest_record_of_a_key_makes_its_event(target: str, visits: Path) -> None:
    begun = load(target, visits, format="door_log")
    assert made(target) == FIRST
    counts = begun.counts()
    assert (counts.lines, counts.loaded, counts.duplicate, counts.derived) == (12, 11, 1, 5)
    assert begun.manifest.totals.derived == 5
    assert {check["name"]: check["status"] for check in begun.verify().checks}["derived events"] == "passed"


@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_neither_the_size_of_chunks_nor_their_order_changes_what_is_made(target: str, visits: Path, chunk: int) -> None:
    begun = begin(target, visits, format="door_log", chunk=chunk)
    for chunk_ in reversed(begun.manifest.chunks):
        begun.load(chunk_.number)
    assert made(target) == FIRST
    assert begun.verify().status == "passed"


def test_four_loaders_at_once_make_each_once(target: str, visits: Path) -> None:
    begun = begin(target, visits, format="door_log", chunk=1)
    with ThreadPoolExecutor(4) as loaders:
        list(loaders.map(load_chunks, [begun.task(chunk.number) for chunk in begun.manifest.chunks]))
    assert made(target) == FIRST


def test_a_load_that_breaks_off_makes_each_once(target: str, visits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = begin(target, visits, format="door_log", chunk=3)
    begun.load(0, 1, 2)
    remember = derived_keys.hold_keys

    def break_off(*arguments: Any) -> set[bytes]:
        remember(*arguments)
        raise psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr(derived_keys, "hold_keys", break_off)
    with pytest.raises(TransientError):
        begun.load(3)
    monkeypatch.setattr(derived_keys, "hold_keys", remember)
    begun.load()
    assert made(target) == FIRST
    assert begun.verify().status == "passed"


def test_another_import_makes_none_that_are_there(target: str, visits: Path, tmp_path: Path) -> None:
    load(target, visits, format="door_log")
    assert load(target, visits, format="door_log", dataset="again").counts().derived == 0
    later = write_visits(tmp_path / "later.jsonl", (3, "ann", "north"), (90, "dot", "west"))
    begun = load(target, later, format="door_log")
    assert begun.counts().derived == 1
    assert made(target) == [*FIRST, (90, "dot", "west")]
    assert begun.verify().status == "passed"


def test_tenants_have_keys_of_their_own(target: str, visits: Path) -> None:
    for tenant in ("one", "two"):
        assert load(target, visits, format="door_log", tenant=tenant).counts().derived == 5


def test_after_a_rollback_the_next_record_makes_it_again_even_a_duplicate(
    target: str, visits: Path, tmp_path: Path
) -> None:
    first = load(target, visits, format="door_log")
    later = write_visits(tmp_path / "later.jsonl", (60, "ann", "north"))
    load(target, later, format="door_log")
    roll_back(target, run=first.run.run_id)
    assert made(target) == []
    again = load(target, later, format="door_log", dataset="again")
    assert (again.counts().duplicate, again.counts().derived) == (1, 1)
    assert made(target) == [(60, "ann", "north")]
    assert again.verify().status == "passed"


def test_events_may_be_left_and_still_make_others(target: str, visits: Path) -> None:
    begun = load(target, visits, format="door_log", options={"import_events": "false"})
    counts = begun.counts()
    assert (counts.lines, counts.loaded, counts.skipped, counts.derived) == (12, 0, 12, 5)
    assert made(target) == FIRST
    assert begun.verify().status == "passed"


def test_an_option_makes_none(target: str, visits: Path) -> None:
    begun = load(target, visits, format="door_log", options={"first_visits": "false"})
    assert (begun.counts().derived, made(target)) == (0, [])


def test_a_window_leaves_what_is_outside_out_of_account(target: str, visits: Path) -> None:
    load(target, visits, format="door_log", window="2024-01-31T00:31..2024-02-01")
    assert made(target) == [(31, "ann", "south"), (40, "cid", "east"), (50, "ann", "north")]


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("DELETE FROM analytics_events WHERE event_type = '$first_visit' AND user_id = 'cid'", "1 have none, 0 more"),
        ("UPDATE analytics_events SET payload = '{}' WHERE event_type = '$first_visit'", "5 of the run's own are gone"),
        (
            "INSERT INTO analytics_events (created_at, source, event_type, source_event_id)"
            " SELECT created_at, source, event_type, source_event_id FROM analytics_events"
            " WHERE event_type = '$first_visit' AND user_id = 'cid'",
            "0 have none, 1 more than one",
        ),
    ],
)
def test_verification_finds_what_is_wrong_with_them(target: str, visits: Path, harm: str, said: str) -> None:
    begun = load(target, visits, format="door_log")
    query(target, harm)
    failed = [check for check in begun.verify().checks if check["status"] == "failed"]
    assert [check["name"] for check in failed] == ["derived events"] and said in failed[0]["detail"]


def paint(path: Path, *colours: tuple[int, str]) -> Path:
    lines = [
        json.dumps({"at": f"2024-01-31T10:{minute:02}:00Z", "who": None, "door": "north", "colour": colour})
        for minute, colour in colours
    ]
    path.write_text("\n".join([*lines, ""]))
    return path


def change(minute: int, before: str | None, after: str) -> tuple[str, str | None, str]:
    return f"10:{minute:02}:00", before, after


@pytest.mark.parametrize("chunk", [1, 100])
def test_states_are_told_as_they_change_in_time(target: str, tmp_path: Path, chunk: int) -> None:
    export = paint(tmp_path / "p.jsonl", (5, "red"), (1, "red"), (3, "blue"), (4, "blue"), (2, "red"), (6, "red"))
    begun = begin(target, export, format="door_log", chunk=chunk)
    for chunk_ in reversed(begun.manifest.chunks):
        begun.load(chunk_.number)
    expected = [change(1, None, "red"), change(3, "red", "blue"), change(5, "blue", "red")]
    assert query(target, COLOURS) == expected
    assert begun.verify().status == "passed"
    assert load(target, export, format="door_log", dataset="again").counts().derived == 0
    assert query(target, COLOURS) == expected


def test_the_first_state_of_an_export_is_compared_with_what_the_table_has(target: str, tmp_path: Path) -> None:
    first = load(target, paint(tmp_path / "a.jsonl", (1, "red"), (2, "blue")), format="door_log")
    second: Import = load(target, paint(tmp_path / "b.jsonl", (7, "blue"), (8, "green")), format="door_log")
    assert query(target, COLOURS)[2:] == [change(8, "blue", "green")]
    roll_back(target, run=first.run.run_id)
    load(target, paint(tmp_path / "b.jsonl", (7, "blue"), (8, "green")), format="door_log", dataset="again")
    assert query(target, COLOURS) == [change(7, None, "blue"), change(8, "blue", "green")]
    assert second.verify().status == "passed"
