"""Verification of an import of which rows were rolled back since."""

from pathlib import Path

import pytest
from loading import Import, load, make_event, query, write_export
from undoing import restore, roll_back


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
