"""Restoring: every row as it was, whatever happened in between; named by id or place; twice changes nothing."""

import shutil
from pathlib import Path

import pytest
from loading import Import, begin, count_events, load, make_event, query, write_export
from undoing import begin_rollback, preview, rebuild_rollups, restore, roll_back, table_digest

from hindcast.errors import ArchiveError, ConfigurationError, VerificationError

pytest_plugins = ["loading_fixtures"]

STATUSES = "SELECT status FROM import_archives ORDER BY created_at"
RUNS = "SELECT status FROM import_runs ORDER BY started_at"


@pytest.fixture
def loaded(target: str, tmp_path: Path) -> Import:
    begun = load(target, write_export(tmp_path / "h.jsonl", map(make_event, range(80))), dataset="first")
    rebuild_rollups(target)
    return begun


def test_restoring_twice_changes_nothing(target: str, loaded: Import) -> None:
    before = table_digest(target)
    archive = roll_back(target, run=loaded.run.run_id)["archive"]
    assert query(target, STATUSES) == [("deleted",)]
    first, second = restore(target, archive), restore(target, archive)
    assert (first["restored"], first["already_there"]) == (80, 0)
    assert (second["restored"], second["already_there"], second["status"]) == (0, 80, "restored")
    assert table_digest(target) == before
    assert (query(target, STATUSES), query(target, RUNS)) == ([("restored",)], [("succeeded",)])


def test_rows_that_are_back_can_be_rolled_back_again(target: str, loaded: Import) -> None:
    before = table_digest(target)
    for _ in range(2):
        report = roll_back(target, run=loaded.run.run_id)
        assert (report["deleted"], count_events(target), query(target, RUNS)) == (80, 0, [("rolled_back",)])
        restore(target, report["archive"][:8])
        assert (table_digest(target), query(target, RUNS)) == (before, [("succeeded",)])
    assert query(target, STATUSES) == [("restored",), ("restored",)]


def test_a_rollback_that_broke_off_is_undone(target: str, loaded: Import) -> None:
    before = table_digest(target)
    archive = begin_rollback(target, run=loaded.run.run_id)
    query(target, "DELETE FROM analytics_events WHERE export_line <= 30")
    assert restore(target, str(archive.archive_id))["restored"] == 30
    assert table_digest(target) == before
    assert preview(target, run=loaded.run.run_id).unfinished is None


def test_an_archive_alone_is_enough(target: str, loaded: Import, tmp_path: Path) -> None:
    before = table_digest(target)
    report = roll_back(target, run=loaded.run.run_id)
    elsewhere = tmp_path / "moved"
    shutil.move(report["archive_uri"], elsewhere)
    query(target, "TRUNCATE import_archives, import_runs CASCADE")
    assert restore(target, str(elsewhere / "archive.json"))["restored"] == 80
    assert table_digest(target) == before
    assert query(target, "SELECT status, rows, run_id FROM import_archives") == [("restored", 80, None)]


def test_a_row_that_is_there_with_other_content_is_named_and_left(target: str, loaded: Import, tmp_path: Path) -> None:
    archive = roll_back(target, run=loaded.run.run_id)["archive"]
    load(target, write_export(tmp_path / "again.jsonl", map(make_event, range(3))), dataset="again")
    kept = query(target, "SELECT e::text FROM analytics_events AS e ORDER BY event_id")
    with pytest.raises(VerificationError, match=r"content: 77 of 80 rows are as archived .* 3 are there with other"):
        restore(target, archive)
    assert count_events(target) == 80
    assert query(target, "SELECT e::text FROM analytics_events AS e ORDER BY event_id LIMIT 3") == kept
    ((report,),) = query(target, "SELECT report FROM import_archives")
    assert (report["differing"], len(report["differing_rows"])) == (3, 3)


def test_an_unfinished_run_is_unfinished_again(target: str, tmp_path: Path) -> None:
    export = write_export(tmp_path / "h.jsonl", map(make_event, range(40)))
    begun = begin(target, export, chunk=10)
    begun.load(0, 1)
    archive = roll_back(target, run=begun.run.run_id)["archive"]
    assert query(target, RUNS) == [("rolled_back",)]
    restore(target, archive)
    assert query(target, RUNS) == [("interrupted",)]
    resumed = begin(target, export, chunk=10)
    assert resumed.run.run_id == begun.run.run_id
    assert resumed.load().loaded == 40


def test_an_unfinished_run_whose_export_was_begun_anew_is_failed_when_it_is_back(target: str, tmp_path: Path) -> None:
    export = write_export(tmp_path / "h.jsonl", map(make_event, range(40)))
    begun = begin(target, export, chunk=10)
    begun.load(0)
    archive = roll_back(target, run=begun.run.run_id)["archive"]
    begin(target, export, chunk=10)
    restore(target, archive)
    assert query(target, RUNS) == [("failed",), ("running",)]


def test_a_month_that_is_missing_is_made(target: str, loaded: Import) -> None:
    before = table_digest(target)
    archive = roll_back(target, run=loaded.run.run_id)["archive"]
    query(target, "DROP TABLE analytics_events_2024_01")
    restore(target, archive)
    assert table_digest(target) == before


@pytest.mark.parametrize("name", ["", "0", "nothing", "no/such/folder"])
def test_an_archive_that_is_not_there_is_told(target: str, loaded: Import, name: str) -> None:
    with pytest.raises((ConfigurationError, ArchiveError), match=r"no such archive|No such file"):
        restore(target, name)


def test_an_archive_with_a_damaged_file_restores_nothing_of_it(target: str, loaded: Import) -> None:
    report = roll_back(target, run=loaded.run.run_id)
    first = min(Path(report["archive_uri"]).glob("*.parquet"))
    first.write_bytes(first.read_bytes()[:-1])
    with pytest.raises(ArchiveError, match="its bytes are not those that were written"):
        restore(target, report["archive"])
    assert count_events(target) == 0
