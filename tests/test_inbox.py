"""What waits in the inbox, and what the ledger says of it."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from loading import begin, load, make_event, query, write_export

from hindcast.database import connect
from hindcast.errors import ConfigurationError
from hindcast.export import find_parts
from hindcast.inbox import list_deliveries, state_of
from hindcast.settings import load_settings

pytest_plugins = ["loading_fixtures"]


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    (folder / "2024-10").mkdir(parents=True)
    return folder


def state(url: str, file: Path) -> str:
    with connect(url, load_settings()) as connection:
        return state_of(connection, find_parts(str(file)))


def test_each_file_and_each_folder_is_one_export_in_natural_order(inbox: Path) -> None:
    for name in ("h-10.jsonl", "h-9.jsonl", "2024-10/a.jsonl", "2024-10/b.jsonl.gz", "notes.txt", "h-9.answers.json"):
        (inbox / name).write_text("{}\n")
    (inbox / ".hidden").mkdir()
    (inbox / ".hidden" / "x.jsonl").write_text("{}\n")
    found = list_deliveries(str(inbox))
    assert [delivery.name for delivery in found] == ["2024-10", "h-9.jsonl", "h-10.jsonl"]
    assert found[0].location == str(inbox / "2024-10")


def test_a_folder_with_a_file_of_this_minute_may_still_be_written(inbox: Path) -> None:
    now = datetime.now(UTC)
    for name, age in (("old.jsonl", 3600), ("new.jsonl", 5)):
        (inbox / "2024-10" / name).write_text("{}\n")
        os.utime(inbox / "2024-10" / name, (now.timestamp() - age,) * 2)
    (delivery,) = list_deliveries(str(inbox))
    assert not delivery.is_quiet(now)
    assert delivery.is_quiet(now + timedelta(minutes=1))


def test_an_inbox_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such folder"):
        list_deliveries(str(tmp_path / "nowhere"))


def test_the_ledger_knows_an_export_by_its_bytes(target: str, inbox: Path) -> None:
    file = write_export(inbox / "history.jsonl", map(make_event, range(20)))
    assert state(target, file) == "new"
    run = begin(target, file)
    assert state(target, file) == "unfinished"
    run.load()
    run.finish()
    assert state(target, file) == "finished"
    write_export(file, map(make_event, range(21)))
    assert state(target, file) == "new"


def test_a_failed_run_is_tried_again_and_a_rolled_back_one_is_not(target: str, inbox: Path) -> None:
    file = write_export(inbox / "history.jsonl", map(make_event, range(20)))
    load(target, file)
    for status, found in (("failed", "new"), ("rolled_back", "rolled back")):
        query(target, "UPDATE import_runs SET status = %s", status)
        assert state(target, file) == found


@pytest.mark.parametrize("part", [{"window": "2024-01-01..2024-02-01"}, {"limit": 5}])
def test_a_run_of_a_part_says_nothing_of_the_whole(target: str, inbox: Path, part: dict[str, object]) -> None:
    file = write_export(inbox / "history.jsonl", map(make_event, range(20)))
    load(target, file, **part)
    query(target, "UPDATE import_runs SET report = %s", f'{{"limit": {part.get("limit", "null")}}}')
    assert state(target, file) == "new"


def test_an_export_of_more_parts_is_another(target: str, inbox: Path) -> None:
    folder = inbox / "2024-10"
    write_export(folder / "a.jsonl", map(make_event, range(20)))
    load(target, folder)
    assert state(target, folder) == "finished"
    write_export(folder / "b.jsonl", map(make_event, range(20, 30)))
    assert state(target, folder) == "new"
