"""Rolling back: exactly the selected rows go, archived before; others stay; what was replaced comes back."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
from loading import Import, begin, count_events, load, make_event, query, write_export
from undoing import (
    ALL_DAYS,
    JANUARY,
    begin_rollback,
    finish_rollback,
    preview,
    rebuild_rollups,
    restore,
    roll_back,
    table_digest,
)

from hindcast.database import connect
from hindcast.errors import ArchiveError
from hindcast.settings import load_settings

pytest_plugins = ["loading_fixtures"]

LIVE = "INSERT INTO analytics_events (event_type, created_at, user_id) VALUES ('lesson_started', %s, 'live-1')"


def import_events(url: str, folder: Path, name: str, numbers: range, **fields: Any) -> Import:
    events = (make_event(number, **fields) for number in numbers)
    return load(url, write_export(folder / f"{name}.jsonl", events), dataset=name)


@pytest.fixture
def three(target: str, tmp_path: Path) -> list[Import]:
    """Three runs over the same months, 120 rows: no two load the same event."""
    runs = [
        import_events(target, tmp_path, "first", range(40)),
        import_events(target, tmp_path, "second", range(20, 80)),
        import_events(target, tmp_path, "third", range(60, 120)),
    ]
    rebuild_rollups(target)
    return runs


def owners(url: str) -> dict[str, int]:
    return dict(
        query(
            url,
            "SELECT r.dataset, count(*) FROM analytics_events AS e"
            " JOIN import_chunks AS c ON c.chunk_id = e.import_chunk_id"
            " JOIN import_runs AS r USING (run_id) GROUP BY 1",
        )
    )


def test_one_run_among_three_goes_and_the_others_stay(target: str, three: list[Import]) -> None:
    before = table_digest(target)
    report = roll_back(target, run=three[1].run.run_id)
    assert (report["status"], report["deleted"], report["remaining"]) == ("rolled_back", 40, 0)
    assert owners(target) == {"first": 40, "third": 40}
    assert report["verification"]["status"] == "passed"
    assert query(target, "SELECT dataset FROM import_runs WHERE status = 'rolled_back'") == [("second",)]
    back = restore(target, report["archive"])
    assert (back["status"], back["restored"], back["digest"]) == ("restored", 40, report["digest"])
    assert table_digest(target) == before
    assert query(target, "SELECT DISTINCT status FROM import_runs") == [("succeeded",)]


def test_a_window_goes_whoever_loaded_it(target: str, three: list[Import]) -> None:
    before = table_digest(target)
    report = roll_back(target, window=JANUARY)
    assert report["deleted"] == 60 and count_events(target) == 60
    assert {row["month"] for row in report["preview"]} == {"2024-01"}
    assert query(target, "SELECT min(created_at)::text FROM analytics_events") == [("2024-02-01 00:00:00+00",)]
    assert query(target, "SELECT DISTINCT status FROM import_runs") == [("succeeded",)]
    restore(target, report["archive"])
    assert table_digest(target) == before


def test_one_event_type_goes(target: str, three: list[Import]) -> None:
    before = table_digest(target)
    report = roll_back(target, window=ALL_DAYS, event_type="lesson_started")
    assert report["deleted"] == 60
    assert query(target, "SELECT DISTINCT event_type FROM analytics_events") == [("lesson_completed",)]
    restore(target, report["archive"])
    assert table_digest(target) == before


def test_one_tenant_goes(target: str, tmp_path: Path) -> None:
    for tenant in ("north", "south"):
        export = write_export(tmp_path / f"{tenant}.jsonl", map(make_event, range(10)))
        load(target, export, tenant=tenant, dataset=tenant)
    assert roll_back(target, window=ALL_DAYS, tenant="north")["deleted"] == 10
    assert query(target, "SELECT DISTINCT tenant FROM analytics_events") == [("south",)]


def test_rows_of_the_live_platform_stay_unless_they_are_named(target: str, three: list[Import]) -> None:
    query(target, LIVE, "2024-01-31 23:30:00+00")
    assert preview(target, window=JANUARY).live_rows_kept == 1
    report = roll_back(target, window=JANUARY)
    assert (report["deleted"], report["live_rows_kept"], report["live_rows"]) == (60, 1, 0)
    assert query(target, "SELECT user_id FROM analytics_events WHERE created_at < '2024-02-01'") == [("live-1",)]
    report = roll_back(target, window=JANUARY, include_live=True)
    assert (report["deleted"], report["live_rows_kept"], report["live_rows"]) == (1, 0, 1)
    restore(target, report["archive"])
    assert query(target, "SELECT user_id FROM analytics_events WHERE created_at < '2024-02-01'") == [("live-1",)]


def test_a_row_that_changed_since_it_was_archived_is_left_and_named(target: str, three: list[Import]) -> None:
    run = three[0].run.run_id
    seen, archive = preview(target, run=run), begin_rollback(target, run=run)
    changed = query(
        target,
        "UPDATE analytics_events SET course_id = 'edited' WHERE event_id ="
        " (SELECT event_id FROM analytics_events ORDER BY 1 LIMIT 1) RETURNING event_id::text",
    )
    query(target, "DELETE FROM analytics_events WHERE export_line = 2 AND import_chunk_id = 1")
    report = finish_rollback(target, archive, seen)
    assert (report["deleted"], report["changed_rows_left"], report["remaining"]) == (38, 1, 1)
    assert [row["event_id"] for row in report["changed_rows"]] == [changed[0][0]]
    assert query(target, "SELECT rows, deleted, changed, absent FROM import_prune_chunks") == [(40, 38, 1, 1)]
    assert query(target, "SELECT count(*) FROM import_runs WHERE status = 'rolled_back'") == [(0,)]
    again = roll_back(target, run=run)
    assert (again["deleted"], again["remaining"]) == (1, 0)
    assert query(target, "SELECT count(*) FROM import_runs WHERE status = 'rolled_back'") == [(1,)]


def test_an_unfinished_run_is_rolled_back_and_loads_anew_as_another_run(target: str, tmp_path: Path) -> None:
    export = write_export(tmp_path / "h.jsonl", map(make_event, range(40)))
    first = begin(target, export, chunk=10)
    first.load(0, 1)
    assert roll_back(target, run=first.run.run_id)["deleted"] == 20
    second = load(target, export, chunk=10)
    assert second.run.run_id != first.run.run_id and second.counts().loaded == 40


def test_an_archive_that_was_damaged_since_stops_the_deletion(target: str, three: list[Import]) -> None:
    run = three[0].run.run_id
    seen, archive = preview(target, run=run), begin_rollback(target, run=run)
    (file,) = Path(archive.uri).glob("*.parquet")
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(data)
    with pytest.raises(ArchiveError, match="its bytes are not those that were written"):
        finish_rollback(target, archive, seen)
    assert count_events(target) == 120


def test_the_ledger_lets_nothing_be_deleted_before_the_archive_is_known(target: str) -> None:
    with connect(target, load_settings()) as connection, pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(
            "INSERT INTO import_archives (archive_id, selection, status, uri)"
            " VALUES (gen_random_uuid(), '{}', 'deleting', '')"
        )
