"""Months that hold nothing else are replaced by empty ones, unless somebody wrote to them in between."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from loading import Import, count_events, load, make_event, query, write_export
from psycopg import sql
from runbook import months_of
from undoing import JANUARY, begin_rollback, finish_rollback, preview, rebuild_rollups, restore, roll_back, table_digest

import hindcast.archive
import hindcast.whole_months
from hindcast.archive import read_description
from hindcast.database import connect
from hindcast.preflight import check_target
from hindcast.prune import delete_rows
from hindcast.retired import drop_retired, find_retired
from hindcast.settings import load_settings
from hindcast.unchanged import is_unchanged

pytest_plugins = ["loading_fixtures"]

LIVE = "INSERT INTO analytics_events (event_type, created_at, user_id) VALUES ('lesson_started', %s, 'live-1')"
JANUARY_TABLE = sql.Identifier("analytics_events_2024_01")
MONTHS = "SELECT to_char(month, 'YYYY-MM'), state FROM import_prune_months ORDER BY 1"


@pytest.fixture
def loaded(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Import:
    """One run: 60 events of January, 60 of February; chunks of ten, so that months are worth dropping."""
    monkeypatch.setenv("HINDCAST_PRUNE_CHUNK_ROWS", "10")
    begun = load(target, write_export(tmp_path / "h.jsonl", map(make_event, range(120))))
    rebuild_rollups(target)
    return begun


def retired(target: str) -> dict[str, int]:
    with connect(target, load_settings()) as connection:
        return find_retired(connection)


def test_whole_months_are_replaced_by_empty_ones(target: str, loaded: Import) -> None:
    before, months = table_digest(target), months_of(target)
    report = roll_back(target, run=loaded.run.run_id)
    assert (report["deleted"], count_events(target)) == (120, 0)
    assert query(target, MONTHS) == [("2024-01", "dropped"), ("2024-02", "dropped")]
    assert query(target, "SELECT count(*), sum(deleted), bool_and(is_month_dropped) FROM import_prune_chunks") == [
        (12, 120, True)
    ]
    assert months_of(target) == months
    assert [name[:24] for name in retired(target)] == ["hindcast_retired_2024_01", "hindcast_retired_2024_02"]
    query(target, LIVE, "2024-01-05 00:00:00+00")
    query(target, "DELETE FROM analytics_events")
    assert restore(target, report["archive"])["digest"] == report["digest"]
    assert table_digest(target) == before
    assert not retired(target)  # restoring needs their space


def test_an_empty_month_has_the_names_and_indexes_of_the_one_before(target: str, loaded: Import) -> None:
    names = "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'analytics_events_2024_01' ORDER BY 1"
    before = query(target, names)
    roll_back(target, run=loaded.run.run_id)
    assert query(target, names) == before and len(before) == 4


def test_retired_months_are_dropped_and_their_size_is_told(target: str, loaded: Import) -> None:
    query(target, "CREATE TABLE hindcast_retired_by_somebody ()")  # not ours
    roll_back(target, run=loaded.run.run_id)
    sizes = retired(target)
    assert len(sizes) == 2
    with connect(target, load_settings()) as connection:
        dropped = drop_retired(connection)
        assert (dropped.tables, dropped.size_bytes, dropped.left) == (list(sizes), sum(sizes.values()), {})
        assert not find_retired(connection) and not drop_retired(connection).tables


def test_a_retired_month_that_somebody_reads_is_left_and_named(target: str, loaded: Import) -> None:
    roll_back(target, window=JANUARY)
    (name,) = retired(target)
    impatient = load_settings().model_copy(update={"lock_timeout_ms": 50})
    with psycopg.connect(target) as reader:
        reader.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name)))
        with connect(target, impatient) as connection:
            dropped = drop_retired(connection)
    assert not dropped.tables and "lock timeout" in dropped.left[name]
    (check,) = (check for check in check_target(target, load_settings()) if check.check == "partitions")
    assert check.status == "warned" and name in check.sentence


def test_a_month_that_a_view_names_is_deleted_row_by_row(target: str, loaded: Import) -> None:
    query(target, "CREATE VIEW january AS SELECT count(*) FROM analytics_events_2024_01")
    assert roll_back(target, run=loaded.run.run_id)["deleted"] == 120
    assert query(target, MONTHS) == [("2024-02", "dropped")]
    assert query(target, "SELECT * FROM january") == [(0,)]


def test_a_month_with_a_row_of_somebody_else_is_deleted_row_by_row(target: str, loaded: Import) -> None:
    query(target, LIVE, "2024-01-05 00:00:00+00")
    assert roll_back(target, run=loaded.run.run_id)["deleted"] == 120
    assert query(target, MONTHS) == [("2024-02", "dropped")]
    assert query(target, "SELECT user_id FROM analytics_events") == [("live-1",)]


def test_a_live_row_that_arrives_after_the_archive_keeps_its_month(target: str, loaded: Import) -> None:
    seen, archive = preview(target, run=loaded.run.run_id), begin_rollback(target, run=loaded.run.run_id)
    query(target, LIVE, "2024-01-05 00:00:00+00")
    report = finish_rollback(target, archive, seen)
    assert query(target, MONTHS) == [("2024-01", "kept"), ("2024-02", "dropped")]
    assert (report["deleted"], report["remaining"]) == (120, 0)
    assert query(target, "SELECT user_id FROM analytics_events") == [("live-1",)]
    query(target, LIVE, "2024-01-06 00:00:00+00")  # the month is attached as it was
    checks = "SELECT count(*) FROM pg_constraint WHERE contype='c' AND conrelid = 'analytics_events_2024_01'::regclass"
    assert query(target, checks) == [(0,)]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE analytics_events SET user_id = 'other' WHERE export_line = 3",
        "UPDATE analytics_events SET user_id = user_id WHERE export_line = 3",
        "DELETE FROM analytics_events WHERE export_line = 3",
    ],
)
def test_a_month_that_was_written_to_after_the_archive_is_compared_row_by_row(
    target: str, loaded: Import, change: str
) -> None:
    seen, archive = preview(target, run=loaded.run.run_id), begin_rollback(target, run=loaded.run.run_id)
    with psycopg.connect(target) as connection:
        assert is_unchanged(connection, JANUARY_TABLE, 60, read_description(archive.uri).snapshot)
    query(target, change)
    with psycopg.connect(target) as connection:
        assert not is_unchanged(connection, JANUARY_TABLE, 60, read_description(archive.uri).snapshot)
    finish_rollback(target, archive, seen)
    state = "dropped" if "= user_id" in change else "kept"  # the same words are the same row
    assert query(target, MONTHS) == [("2024-01", state), ("2024-02", "dropped")]


@pytest.mark.parametrize("snapshot", ["", "1:2", "7499999999999999999:900", msgspec.UNSET])
def test_a_snapshot_of_another_server_says_nothing(target: str, loaded: Import, snapshot: Any) -> None:
    with psycopg.connect(target) as connection:
        assert not is_unchanged(connection, JANUARY_TABLE, 60, snapshot)


def test_a_live_row_that_arrives_while_the_month_is_being_detached_keeps_it(
    target: str, loaded: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    detach = hindcast.whole_months._detach
    seen, archive = preview(target, run=loaded.run.run_id), begin_rollback(target, run=loaded.run.run_id)

    def insert_first(connection: psycopg.Connection, month: Any) -> None:
        query(target, LIVE, f"{month.month}-05 00:00:00+00")
        detach(connection, month)

    monkeypatch.setattr(hindcast.whole_months, "_detach", insert_first)
    assert finish_rollback(target, archive, seen)["deleted"] == 120
    assert query(target, MONTHS) == [("2024-01", "kept"), ("2024-02", "kept")]
    assert count_events(target) == 2


def kill_in(monkeypatch: pytest.MonkeyPatch, name: str, is_after: bool) -> None:
    whole: Callable[..., None] = getattr(hindcast.whole_months, name)

    def broken(*arguments: Any) -> None:
        if is_after:
            whole(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(hindcast.whole_months, name, broken)


@pytest.mark.parametrize(("name", "is_after"), [("_detach", False), ("_decide", False), ("_decide", True)])
@pytest.mark.parametrize("then", ["roll back", "restore"])
def test_a_month_left_between_is_settled_by_whatever_comes_next(
    target: str, loaded: Import, monkeypatch: pytest.MonkeyPatch, name: str, is_after: bool, then: str
) -> None:
    before = table_digest(target)
    seen, archive = preview(target, run=loaded.run.run_id), begin_rollback(target, run=loaded.run.run_id)
    settings = load_settings()
    with monkeypatch.context() as patched, connect(target, settings) as connection:
        kill_in(patched, name, is_after)
        with pytest.raises(KeyboardInterrupt):
            delete_rows(connection, archive, settings, lambda rows: None)
    if then == "roll back":
        assert finish_rollback(target, archive, seen)["deleted"] == 120
        assert count_events(target) == 0
        assert [state for _, state in query(target, MONTHS)] == ["dropped", "dropped"]
    else:
        restore(target, str(archive.archive_id))
        assert table_digest(target) == before


def test_a_detaching_that_was_cut_short_is_finished(target: str, loaded: Import) -> None:
    seen, archive = preview(target, window=JANUARY), begin_rollback(target, window=JANUARY)
    impatient = load_settings().model_copy(update={"statement_timeout_ms": 300})
    with psycopg.connect(target) as reader:
        reader.execute("SELECT count(*) FROM analytics_events")  # the detaching waits for this transaction
        with connect(target, impatient) as connection, pytest.raises(psycopg.errors.QueryCanceled):
            delete_rows(connection, archive, impatient, lambda rows: None)
    pending = "SELECT count(*) FROM pg_inherits WHERE inhdetachpending"
    assert query(target, pending) == [(1,)]
    assert finish_rollback(target, archive, seen)["deleted"] == 60
    assert (query(target, pending), query(target, MONTHS)) == ([(0,)], [("2024-01", "dropped")])


def test_the_month_that_is_not_over_is_deleted_row_by_row(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HINDCAST_PRUNE_CHUNK_ROWS", "1")
    ((now,),) = query(target, "SELECT to_char(now(), 'YYYY-MM-DD\"T\"HH24:MI:SSZ')")
    events = [make_event(number, occurred_at=now, payload={"n": number}) for number in range(5)]
    begun = load(target, write_export(tmp_path / "h.jsonl", events))
    assert roll_back(target, run=begun.run.run_id)["deleted"] == 5
    assert query(target, MONTHS) == []


def test_a_published_table_is_deleted_from_row_by_row(target: str, loaded: Import) -> None:
    query(target, "CREATE PUBLICATION everything FOR TABLE analytics_events")
    assert roll_back(target, run=loaded.run.run_id)["deleted"] == 120
    assert query(target, MONTHS) == []


def test_a_detaching_that_the_server_finished_for_a_killed_client_is_taken_as_it_is(
    target: str, loaded: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, archive = preview(target, window=JANUARY), begin_rollback(target, window=JANUARY)
    is_pending = iter(["SELECT false", "SELECT true"])
    state = hindcast.whole_months._STATE

    class Stale:
        """Tells a state that is over by the time it is acted on."""

        def __init__(self, connection: psycopg.Connection) -> None:
            self._connection = connection

        def execute(self, query: Any, *parameters: Any) -> Any:
            if query == state and (stale := next(is_pending, None)):
                query, parameters = stale, ()
            return self._connection.execute(query, *parameters)

    month = hindcast.archive.read_description(archive.uri).months[0]
    with connect(target, load_settings()) as connection:
        connection.execute(
            "INSERT INTO import_prune_months VALUES (%s, '2024-01-01', %s, %s, 'detaching')",
            (archive.archive_id, month.rows, month.digest),
        )
        connection.execute("ALTER TABLE analytics_events DETACH PARTITION analytics_events_2024_01 CONCURRENTLY")
        hindcast.whole_months._detach(Stale(connection), month)  # type: ignore[arg-type]  # a connection otherwise
    assert finish_rollback(target, archive, seen)["deleted"] == 60
