"""The schema: made, adopted, migrated twice, at once; and its months."""

import threading
from datetime import date
from pathlib import Path

import psycopg
import pytest
import sqlalchemy
from loading import load, make_event, query, write_export
from runbook import LIVE_INSERT, describe_schema, months_of, query_many
from sqlalchemy.pool import NullPool

from hindcast import rollup_tables  # noqa: F401  # adds its tables
from hindcast.database import add_months, add_months_ahead, connect, migrate, newest_revision, require_schema
from hindcast.errors import TargetError
from hindcast.settings import load_settings
from hindcast.tables import metadata

pytest_plugins = ["loading_fixtures"]


def test_the_tables_in_python_are_those_of_the_database(target: str) -> None:
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(target), poolclass=NullPool
    )
    inspector = sqlalchemy.inspect(engine)
    for table in metadata.tables.values():
        found = [(c["name"], c["type"].compile(engine.dialect)) for c in inspector.get_columns(table.name)]
        assert [(c.name, c.type.compile(engine.dialect)) for c in table.columns] == found, table.name
        key = inspector.get_pk_constraint(table.name)["constrained_columns"]
        assert [c.name for c in table.primary_key] == key, table.name


def test_migrating_twice_changes_nothing(target: str) -> None:
    before = describe_schema(target)
    assert migrate(target) == newest_revision()
    assert describe_schema(target) == before


def test_migrating_at_once_makes_one_schema(empty_database: str) -> None:
    revisions: list[str] = []
    threads = [threading.Thread(target=lambda: revisions.append(migrate(empty_database))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert revisions == [newest_revision()] * 3
    assert len(months_of(empty_database)) == 13


def test_the_live_platforms_own_insert_works_today_and_in_a_year(target: str) -> None:
    query(target, LIVE_INSERT)
    query(target, LIVE_INSERT.replace("now()", "now() + interval '12 months'"))
    assert query(target, "SELECT DISTINCT source, payload, import_chunk_id FROM analytics_events") == [
        ("live", {"progress": 1}, None)
    ]


def test_the_runbooks_check_counts_months(target: str, tmp_path: Path) -> None:
    load(target, write_export(tmp_path / "export.jsonl", [make_event(n) for n in range(50, 75)]))
    counted = query(
        target,
        "select date_trunc('month', created_at) as month, count(*) from analytics_events"
        " where created_at >= '2024-01-01' and created_at < '2025-01-01' group by 1 order by 1",
    )
    assert [(f"{month:%Y-%m}", count) for month, count in counted] == [("2024-01", 10), ("2024-02", 15)]


def test_months_are_added_once(target: str) -> None:
    with connect(target, load_settings()) as connection:
        assert add_months(connection, date(2019, 11, 30), date(2020, 2, 1)) == 4
        assert add_months(connection, date(2019, 11, 30), date(2020, 2, 1)) == 0
        assert add_months_ahead(connection) == 0
    assert months_of(target)[:4] == ["2019_11", "2019_12", "2020_01", "2020_02"]


def test_months_added_at_once_are_added_once(target: str) -> None:
    added: list[int] = []

    def run() -> None:
        with connect(target, load_settings()) as connection:
            added.append(add_months(connection, date(2015, 1, 1), date(2015, 12, 31)))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(added), sum(added), len(months_of(target))) == (4, 12, 25)


def test_a_month_that_was_dropped_is_made_again(target: str) -> None:
    dropped = months_of(target)[3]
    query_many(target, f"DROP TABLE analytics_events_{dropped}")
    migrate(target)
    assert dropped in months_of(target)


def test_adding_a_month_does_not_wait_for_readers_and_writers(target: str) -> None:
    with psycopg.connect(target) as busy:
        busy.execute(LIVE_INSERT)
        busy.execute("SELECT count(*) FROM analytics_events")
        settings = load_settings().model_copy(update={"lock_timeout_ms": 1000})
        with connect(target, settings) as connection:
            assert add_months(connection, date(2018, 1, 1), date(2018, 1, 1)) == 1


def test_a_month_has_the_keys_and_defaults_of_the_table(target: str) -> None:
    keys = (
        "SELECT regexp_replace(indexdef, 'analytics_events\\w*', '', 'g') FROM pg_indexes"
        " WHERE tablename = %s ORDER BY 1"
    )
    month = f"analytics_events_{months_of(target)[0]}"
    of_table = [text.replace(" ON ONLY ", " ON ") for (text,) in query(target, keys, "analytics_events")]
    assert sorted(text for (text,) in query(target, keys, month)) == sorted(of_table)


def test_a_database_without_our_schema_is_refused_with_the_fix(empty_database: str) -> None:
    with (
        connect(empty_database, load_settings()) as connection,
        pytest.raises(TargetError, match="revision none, expected 0005: run `hindcast db migrate`"),
    ):
        require_schema(connection)
