"""Months watched while they are archived: a mark holds only as long as nobody wrote."""

from pathlib import Path

import psycopg
import pytest
from loading import Import, count_events, load, make_event, query, write_export
from psycopg import sql
from undoing import JANUARY, begin_rollback, finish_rollback, preview, rebuild_rollups, restore, roll_back, table_digest

import hindcast.month_tables
import hindcast.whole_months
from hindcast.archive import read_description
from hindcast.database import connect
from hindcast.retired import find_left, tidy_up
from hindcast.settings import load_settings
from hindcast.watched import find_watched, is_unwritten, unwatch, watch

pytest_plugins = ["loading_fixtures"]

TABLE = "analytics_events_2024_01"
LIVE = "INSERT INTO analytics_events (event_type, created_at, user_id) VALUES ('lesson_started', %s, 'live-1')"
INSERT = "INSERT INTO analytics_events (event_type, created_at) VALUES ('x', '2024-01-05 00:00:00+00')"
MONTHS = "SELECT to_char(month, 'YYYY-MM'), state FROM import_prune_months ORDER BY 1"


@pytest.fixture
def loaded(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Import:
    """One run: 60 events of January, 60 of February; both worth replacing, and large."""
    monkeypatch.setenv("HINDCAST_PRUNE_CHUNK_ROWS", "10")
    monkeypatch.setattr(hindcast.month_tables, "_LARGE_BYTES", 0)
    begun = load(target, write_export(tmp_path / "h.jsonl", map(make_event, range(120))))
    rebuild_rollups(target)
    return begun


def mark(target: str) -> str:
    with connect(target, load_settings()) as connection:
        return watch(connection, [TABLE])[TABLE]


def holds(target: str, marked: str) -> bool:
    with connect(target, load_settings()) as connection:
        return is_unwritten(connection, TABLE, marked)


def test_a_mark_holds_while_nobody_writes_or_writes_elsewhere(target: str, loaded: Import) -> None:
    marked = mark(target)
    query(target, LIVE, "2024-02-05 00:00:00+00")
    with psycopg.connect(target, autocommit=True) as connection:
        connection.execute(f"VACUUM ANALYZE {TABLE}".encode())
        connection.execute("CHECKPOINT")
    assert holds(target, marked)


@pytest.mark.parametrize(
    "write",
    [
        INSERT,
        "UPDATE analytics_events SET user_id = user_id WHERE export_line = 3",
        "DELETE FROM analytics_events WHERE export_line = 3",
        f"TRUNCATE {TABLE}",
        f"BEGIN; SET LOCAL session_replication_role = replica; {INSERT}; COMMIT",
        f"BEGIN; {INSERT}; ROLLBACK",
        "UPDATE analytics_events SET created_at = '2024-02-09 00:00:00+00' WHERE export_line = 3",
        "UPDATE analytics_events SET created_at = '2024-01-09 00:00:00+00' WHERE export_line = 100",
        f"ALTER TABLE {TABLE} DISABLE TRIGGER ALL",
        f"DROP TRIGGER hindcast_late_writes ON {TABLE}",
        f"CLUSTER {TABLE} USING {TABLE}_pkey",
    ],
)
def test_a_mark_does_not_hold_after(target: str, loaded: Import, write: str) -> None:
    marked = mark(target)
    with psycopg.connect(target, autocommit=True) as connection:
        connection.execute(write.encode())
    assert not holds(target, marked)


def test_a_trigger_that_was_made_again_is_another(target: str, loaded: Import) -> None:
    marked = mark(target)
    with connect(target, load_settings()) as connection:
        unwatch(connection, TABLE)
        again = watch(connection, [TABLE])[TABLE]
    assert not holds(target, marked) and holds(target, again)


def test_who_is_writing_is_not_waited_for(target: str, loaded: Import) -> None:
    with psycopg.connect(target) as writer:
        writer.execute(INSERT.encode())
        with connect(target, load_settings()) as connection:
            assert list(watch(connection, [TABLE, "analytics_events_2024_02"])) == ["analytics_events_2024_02"]


def test_a_platform_that_may_only_insert_writes_to_a_watched_month(target: str, loaded: Import) -> None:
    marked = mark(target)
    query(target, "CREATE ROLE watched_platform")
    try:
        query(target, "GRANT INSERT ON analytics_events TO watched_platform")
        with psycopg.connect(target) as connection:
            connection.execute("SET ROLE watched_platform")
            connection.execute(INSERT.encode())
        assert not holds(target, marked) and count_events(target) == 121
    finally:
        query(target, "DROP OWNED BY watched_platform")
        query(target, "DROP ROLE watched_platform")


def test_a_watched_month_is_replaced_without_being_read(
    target: str, loaded: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*arguments: object) -> bool:
        raise AssertionError("it was read")

    monkeypatch.setattr(hindcast.whole_months, "is_unchanged", never)
    before = table_digest(target)
    report = roll_back(target, run=loaded.run.run_id)
    assert (report["deleted"], count_events(target)) == (120, 0)
    assert query(target, MONTHS) == [("2024-01", "dropped"), ("2024-02", "dropped")]
    restore(target, report["archive"])
    assert table_digest(target) == before
    with connect(target, load_settings()) as connection:
        assert not find_left(connection)


def test_a_late_write_keeps_a_watched_month_and_its_trigger_goes(target: str, loaded: Import) -> None:
    seen, archive = preview(target, run=loaded.run.run_id), begin_rollback(target, run=loaded.run.run_id)
    query(target, LIVE, "2024-01-05 00:00:00+00")
    assert finish_rollback(target, archive, seen)["deleted"] == 120
    assert query(target, MONTHS) == [("2024-01", "kept"), ("2024-02", "dropped")]
    assert query(target, "SELECT user_id FROM analytics_events") == [("live-1",)]
    with connect(target, load_settings()) as connection:
        assert not find_watched(connection)


def test_a_write_that_changed_nothing_costs_a_reading_and_no_more(target: str, loaded: Import) -> None:
    seen, archive = preview(target, window=JANUARY), begin_rollback(target, window=JANUARY)
    with psycopg.connect(target) as connection:
        connection.execute(INSERT.encode())
        connection.rollback()
    assert finish_rollback(target, archive, seen)["deleted"] == 60
    assert query(target, MONTHS) == [("2024-01", "dropped")]


def test_a_month_with_rows_of_others_or_of_today_is_not_watched(target: str, loaded: Import) -> None:
    query(target, LIVE, "2024-01-05 00:00:00+00")
    query(target, "CREATE VIEW february AS SELECT count(*) FROM analytics_events_2024_02")
    archive = begin_rollback(target, run=loaded.run.run_id)
    with connect(target, load_settings()) as connection:
        assert not find_watched(connection)
    assert {month.mark for month in read_description(archive.uri).months if isinstance(month.mark, str)} == set()


def test_what_a_killed_rollback_watched_is_told_and_tidied_up(target: str, loaded: Import) -> None:
    begin_rollback(target, window=JANUARY)  # killed before it deletes
    with connect(target, load_settings()) as connection:
        assert find_left(connection) == [TABLE]
        with psycopg.connect(target) as reader:
            reader.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(TABLE)))
            assert "lock timeout" in tidy_up(connection).left[TABLE]
        assert not tidy_up(connection).left and not find_left(connection)


def test_without_the_right_to_the_sequence_there_is_no_mark_and_none_holds(target: str, loaded: Import) -> None:
    marked = mark(target)
    query(target, "CREATE ROLE watched_owner")
    try:
        query(target, f"ALTER TABLE {TABLE} OWNER TO watched_owner")
        with connect(target, load_settings()) as connection:
            connection.execute("SET ROLE watched_owner")
            assert watch(connection, [TABLE]) == {} and find_watched(connection) == [TABLE]
            assert not is_unwritten(connection, TABLE, marked)
    finally:
        query(target, "REASSIGN OWNED BY watched_owner TO postgres")
        query(target, "DROP OWNED BY watched_owner")
        query(target, "DROP ROLE watched_owner")
