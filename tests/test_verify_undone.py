"""Verification of an import of which rows were rolled back since."""

from pathlib import Path
from uuid import uuid4

import pytest
from loading import Import, load, make_event, query, write_export
from undoing import restore, roll_back

from hindcast.archived_ids import count_archived
from hindcast.database import connect
from hindcast.report_format import tell_table
from hindcast.settings import load_settings


@pytest.fixture
def loaded(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Import:
    """An import of forty events of two types, in chunks of ten."""
    monkeypatch.setenv("HINDCAST_HOME", str(tmp_path / "home"))
    return load(target, write_export(tmp_path / "export.jsonl", (make_event(n) for n in range(40))), chunk=10)


def content(loaded: Import) -> str:
    return next(check["detail"] for check in loaded.verify().checks if check["name"] == "content")


def test_rows_rolled_back_since_are_known_and_subtracted(loaded: Import) -> None:
    roll_back(loaded.url, loaded.run.run_id, event_type="lesson_completed")
    assert loaded.verify().status == "passed"
    assert content(loaded).startswith("20 of 20 rows") and "20 were rolled back since" in content(loaded)


def test_a_row_that_is_missing_for_another_reason_is_still_named(loaded: Import) -> None:
    roll_back(loaded.url, loaded.run.run_id, event_type="lesson_completed")
    query(
        loaded.url, "DELETE FROM analytics_events WHERE export_line = (SELECT min(export_line) FROM analytics_events)"
    )
    verification = loaded.verify()
    assert verification.status == "failed"
    assert [difference.field for difference in verification.differences] == ["(row)"]


def test_restored_rows_are_looked_for_again(loaded: Import) -> None:
    archive = roll_back(loaded.url, loaded.run.run_id, event_type="lesson_completed")["archive"]
    restore(loaded.url, str(archive))
    assert content(loaded).startswith("40 of 40 rows") and "rolled back" not in content(loaded)


def test_spot_checks_and_the_count_of_the_runs_rows_leave_them_out(loaded: Import) -> None:
    settings = load_settings()
    with connect(loaded.url, settings) as connection:
        assert count_archived(connection, settings, loaded.run.run_id) == 0
        archive = roll_back(loaded.url, loaded.run.run_id, event_type="lesson_completed")["archive"]
        assert count_archived(connection, settings, loaded.run.run_id) == 20
        assert count_archived(connection, settings, uuid4()) == 0
        found = loaded.spot_check()
        assert (found.differences, found.rolled_back) == ([], 20)
        assert found.equal == found.checked == 20
        restore(loaded.url, str(archive))
        assert count_archived(connection, settings, loaded.run.run_id) == 0
    assert loaded.spot_check().rolled_back == 0


def test_a_window_that_was_rolled_back_counts_for_each_of_its_runs(loaded: Import, tmp_path: Path) -> None:
    other = load(loaded.url, write_export(tmp_path / "other.jsonl", (make_event(n) for n in range(40, 100))))
    roll_back(loaded.url, window="2024-02-01..2024-03-01", source="analytics_history")
    settings = load_settings()
    with connect(loaded.url, settings) as connection:
        assert count_archived(connection, settings, loaded.run.run_id) == 0
        assert count_archived(connection, settings, other.run.run_id) == 40


def test_the_headline_is_of_what_is_there() -> None:
    report = {"loaded": 40, "months": [{"table": 20}, {"table": None}], "verification": {"rolled_back": 1_234}}
    assert tell_table(report, "and proven") == "20 events in the table and proven; 1,234 were rolled back since"
    report["verification"] = {"rolled_back": 0}
    assert tell_table(report, "and proven") == "40 events in the table and proven"
