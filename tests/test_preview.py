"""The preview: what would go, whose it is, what stays, who else is concerned. It changes nothing."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from loading import Import, load, make_event, query, write_export
from undoing import ALL_DAYS, JANUARY, begin_rollback, preview, roll_back, table_digest

from hindcast.rollups import ROLLUPS
from hindcast.undo_text import render_preview, render_preview_markdown

pytest_plugins = ["loading_fixtures"]

MARCH = "2024-03-05T10:00:00Z"
LIVE = "INSERT INTO analytics_events (event_type, created_at) VALUES ('lesson_started', %s)"


def import_events(url: str, folder: Path, name: str, numbers: range, **fields: Any) -> Import:
    export = write_export(folder / f"{name}.jsonl", (make_event(number, **fields) for number in numbers))
    return load(url, export, dataset=name, is_new_run=True)


@pytest.fixture
def first(target: str, tmp_path: Path) -> Import:
    """60 events of 31 January, 20 of 1 February."""
    return import_events(target, tmp_path, "first", range(80))


def test_it_counts_by_month_and_type_and_changes_nothing(target: str, first: Import) -> None:
    query(target, LIVE, "2024-01-31 12:00:00+00")
    before = table_digest(target)
    seen = preview(target, run=first.run.run_id)
    assert seen.months == [
        ("2024-01", "lesson_completed", 30),
        ("2024-01", "lesson_started", 30),
        ("2024-02", "lesson_completed", 10),
        ("2024-02", "lesson_started", 10),
    ]
    assert (seen.rows, seen.days, seen.live_rows, seen.live_rows_kept) == (80, 2, 0, 1)
    assert len(seen.sample) == 10
    assert table_digest(target) == before
    assert query(target, "SELECT count(*) FROM import_archives") == [(0,)]


def test_it_names_the_owners_the_live_platform_last(target: str, first: Import, tmp_path: Path) -> None:
    import_events(target, tmp_path, "second", range(70, 100))
    query(target, LIVE, "2024-01-31 12:00:00+00")
    owners = preview(target, window=ALL_DAYS, include_live=True).owners
    assert [(owner.dataset, owner.rows) for owner in owners] == [
        ("first", 80),
        ("second", 20),
        ("the live platform", 1),
    ]


def test_a_run_whose_rows_no_ledger_explains_is_an_owner_too(target: str, first: Import) -> None:
    query(target, "UPDATE analytics_events SET import_chunk_id = 999 WHERE export_line = 1")
    owners = preview(target, window=ALL_DAYS).owners
    assert [(owner.dataset, owner.rows) for owner in owners] == [("first", 79), ("no run of this ledger", 1)]


def test_later_runs_that_loaded_on_the_same_days_are_named(target: str, first: Import, tmp_path: Path) -> None:
    later = import_events(target, tmp_path, "later", range(80, 100))
    import_events(target, tmp_path, "elsewhere", range(10), occurred_at=MARCH)
    seen = preview(target, run=first.run.run_id)
    assert [(overlap.run_id, overlap.reason) for overlap in seen.overlaps] == [
        (later.run.run_id, "loaded 20 rows later, in chunks on the same days")
    ]
    assert preview(target, run=later.run.run_id).overlaps == []


def test_later_runs_that_found_these_rows_there_are_named(target: str, first: Import, tmp_path: Path) -> None:
    again = import_events(target, tmp_path, "again", range(10))
    (overlap,) = preview(target, run=first.run.run_id).overlaps
    assert overlap.run_id == again.run.run_id
    assert overlap.reason == "counted 10 records as there already: they may be the selected rows"


def test_repeats_within_a_later_export_are_no_overlap(target: str, first: Import, tmp_path: Path) -> None:
    events = [make_event(number, occurred_at=MARCH) for number in [*range(10)] * 2]
    load(target, write_export(tmp_path / "later.jsonl", events), dataset="later")
    assert preview(target, run=first.run.run_id).overlaps == []


def test_a_run_that_is_rolled_back_is_no_overlap(target: str, first: Import, tmp_path: Path) -> None:
    later = import_events(target, tmp_path, "later", range(90))
    roll_back(target, run=later.run.run_id)
    assert preview(target, run=first.run.run_id).overlaps == []


def test_of_a_window_the_later_of_its_owners_are_named(target: str, first: Import, tmp_path: Path) -> None:
    assert preview(target, window=JANUARY).overlaps == []
    import_events(target, tmp_path, "later", range(75, 100))
    assert [overlap.dataset for overlap in preview(target, window=ALL_DAYS).overlaps] == ["later"]
    january = preview(target, window=JANUARY).overlaps
    assert [overlap.reason for overlap in january] == [
        "counted 5 records as there already: they may be the selected rows"
    ]


def test_the_digest_is_of_the_whole_rows(target: str, first: Import) -> None:
    before = preview(target, run=first.run.run_id).digest
    assert preview(target, run=first.run.run_id).digest == before
    for change in ("export_line = export_line + 1", "payload = payload || '{\"x\": 1}'", "user_agent = ''"):
        query(target, f"UPDATE analytics_events SET {change} WHERE user_id = 'learner-1'")  # noqa: S608  # ours
        changed = preview(target, run=first.run.run_id).digest
        assert changed != before
        before = changed


def test_the_estimate_is_a_guess_until_something_was_measured(target: str, first: Import) -> None:
    assert not preview(target, window=JANUARY).estimate.is_measured
    query(
        target,
        "INSERT INTO import_archives (archive_id, selection, status, uri, rows, digest, report) VALUES"
        """ (gen_random_uuid(), '{}', 'deleted', '', 60000, '', '{"seconds": 10, "resumed": false}')""",
    )
    estimate = preview(target, window=JANUARY).estimate
    assert (estimate.is_measured, estimate.rows_a_second) == (True, 6000)


def test_an_unfinished_rollback_is_told(target: str, first: Import) -> None:
    archive = begin_rollback(target, run=first.run.run_id)
    seen = preview(target, run=first.run.run_id)
    assert seen.unfinished and seen.unfinished.archive_id == archive.archive_id
    assert f"resumes  archive {archive.archive_id}, archived: 0 rows are deleted already" in render_preview(seen)


def test_the_text_is_aligned_and_ends_with_the_command(target: str, first: Import, tmp_path: Path) -> None:
    import_events(target, tmp_path, "later", range(80, 81))
    lines = render_preview(preview(target, run=first.run.run_id)).splitlines()
    assert lines[0] == f"PREVIEW: run {str(first.run.run_id)[:8]}: 80 rows would go; nothing was changed"
    assert lines[2:5] == [
        "month    event type        rows",
        "2024-01  lesson_completed    30",
        "2024-01  lesson_started      30",
    ]
    assert "kept     0 rows of the live platform" in lines
    assert f"rollups  {len(ROLLUPS)}, 2 days each" in lines
    assert lines[-1] == f"apply    hindcast rollback --run {first.run.run_id} --allow-overlap --apply"


def test_text_of_events_cannot_break_the_markdown(target: str, first: Import) -> None:
    query(target, "UPDATE analytics_events SET event_type = '| <b>' || chr(27) || '[x](y)' WHERE export_line = 1")
    text = render_preview_markdown(preview(target, run=first.run.run_id))
    assert "\\| \\<b\\>\\\\u001b\\[x\\](y)" in text and "\x1b" not in text


def test_json_has_the_keys_that_scripts_read(target: str, first: Import) -> None:
    found = preview(target, window=JANUARY).as_json()
    assert found["preview"][0] == {"month": "2024-01", "event_type": "lesson_completed", "rows": 30}
    assert (found["status"], found["deleted"], found["archive"], found["verification"]) == ("preview", 0, None, None)
    assert found["rollups"][0] == {"rollup": "daily_events", "buckets": 1}
    assert date.fromisoformat(found["selection"]["window"][0][:10]) == date(2024, 1, 1)
