"""The roles of docs/sql/roles.sql: each can do its work, and nothing else."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from loading import begin, count_events, make_event, query, write_export
from undoing import JANUARY, restore, roll_back, table_digest

from hindcast.database import add_months, connect, require_schema
from hindcast.governor import govern
from hindcast.known import holds_own_ids
from hindcast.ledger import finish_run, list_conflicts, record_gates, touched_days
from hindcast.measure import measure_target, time_dashboard_queries
from hindcast.preflight import check_target, plan_months
from hindcast.rollups import ROLLUPS, rebuild_rollup
from hindcast.settings import load_settings

pytest_plugins = ["loading_fixtures"]

ROLES_SQL = (Path(__file__).parents[1] / "docs" / "sql" / "roles.sql").read_text()
ROLES = ("hindcast_loader", "hindcast_pruner", "hindcast_reader")
DENIED = psycopg.errors.InsufficientPrivilege
START = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture
def as_role(target: str) -> Iterator[dict[str, str]]:
    """URLs of people who have one role each; the platform has a table of its own."""
    query(target, ROLES_SQL)
    query(target, "CREATE TABLE platform_users (email text)")
    urls = {}
    for role in ROLES:
        person = f"a_{role}"
        query(target, f"CREATE ROLE {person} LOGIN; GRANT {role} TO {person}")
        urls[role] = target.replace("postgres@", f"{person}@")
    yield urls
    for role in ROLES:
        query(target, f"DROP ROLE a_{role}")
        query(target, f"DROP OWNED BY {role}; DROP ROLE {role}")


def import_as(url: str, folder: Path, count: int = 60) -> Any:
    """Everything a backfill does in the database."""
    settings = load_settings()
    lines: list[dict[str, Any] | str] = ["not json", *(make_event(n) for n in range(count))]
    begun = begin(url, write_export(folder / "export.jsonl", lines))
    run_id = begun.run.run_id
    with connect(url, settings) as connection:
        require_schema(connection)
        totals = begun.manifest.totals
        plan_months(connection, totals.first_at, totals.last_at)
        measure_target(connection, totals.first_at, totals.last_at, run_id)
        holds_own_ids(connection, begun.plan.format)
        with govern(url, settings, run_id, folder) as governor:
            begun.load()
        assert not governor.summary()["failures"]
        list_conflicts(connection, run_id)
        record_gates(connection, run_id, [])
        for rollup in ROLLUPS:
            assert rebuild_rollup(connection, rollup, touched_days(connection, run_id)).is_proved
        connection.execute("SELECT set_config('hindcast.run_id', %s, false)", (str(run_id),))
        assert connection.execute("SELECT count(*) FROM hindcast_run_events").fetchone() == (count,)
        time_dashboard_queries(connection, START, START + timedelta(days=40))
        assert begun.verify().status == "passed"
        finish_run(connection, run_id, "succeeded", {})
    return begun


def denied(url: str, *statements: str) -> None:
    for statement in statements:
        with pytest.raises(DENIED):
            query(url, statement)


def test_a_loader_passes_preflight_and_imports(target: str, as_role: dict[str, str], tmp_path: Path) -> None:
    loader = as_role["hindcast_loader"]
    assert not [check for check in check_target(loader, load_settings()) if check.status != "passed"]
    import_as(loader, tmp_path)
    assert count_events(target) == 60
    assert query(target, "SELECT status FROM import_runs") == [("succeeded",)]


def test_a_loader_can_neither_delete_nor_change_events(target: str, as_role: dict[str, str], tmp_path: Path) -> None:
    loader = as_role["hindcast_loader"]
    import_as(loader, tmp_path)
    for table in ("analytics_events", "analytics_events_2024_01"):
        denied(
            loader,
            f"DELETE FROM {table}",  # noqa: S608  # the two names above
            f"UPDATE {table} SET event_type = 'x'",  # noqa: S608  # the two names above
            f"TRUNCATE {table}",
            f"DROP TABLE {table}",
        )
    denied(loader, "ALTER TABLE analytics_events DETACH PARTITION analytics_events_2024_01")
    assert count_events(target) == 60


def test_a_loader_reads_nothing_it_need_not(as_role: dict[str, str], tmp_path: Path) -> None:
    loader = as_role["hindcast_loader"]
    import_as(loader, tmp_path)
    denied(
        loader,
        "SELECT raw FROM import_rejects",
        "SELECT previous_row FROM import_conflicts",
        "SELECT * FROM import_governor",
        "SELECT * FROM platform_users",
        "DELETE FROM import_runs",
        "DELETE FROM import_chunks",
        "UPDATE import_chunks SET digest = ''",
        "DROP TABLE import_runs",
        "CREATE TABLE mine (x int)",
    )


def test_a_loader_that_is_to_replace_rows_is_told_at_preflight(as_role: dict[str, str]) -> None:
    by_role = {
        role: {check.check: check for check in check_target(as_role[role], load_settings(), on_conflict="replace")}
        for role in ("hindcast_loader", "hindcast_pruner")
    }
    lacking = by_role["hindcast_loader"]["privileges"]
    assert lacking.status == "failed" and "lacks DELETE on analytics_events;" in lacking.sentence
    assert by_role["hindcast_pruner"]["privileges"].status == "passed"


def test_months_made_later_belong_to_the_owner_and_serve_every_role(target: str, as_role: dict[str, str]) -> None:
    with connect(as_role["hindcast_loader"], load_settings()) as connection:
        assert add_months(connection, START, START) == 1
    owners = (
        "SELECT count(DISTINCT relowner) FROM pg_class WHERE relname LIKE 'analytics_events%' AND relkind IN ('r', 'p')"
    )
    assert query(target, owners) == [(1,)]
    query(
        as_role["hindcast_loader"], "INSERT INTO analytics_events (event_type, created_at) VALUES ('a', '2024-01-05')"
    )
    read = "SELECT event_type FROM analytics_events WHERE created_at < '2024-02-01'"
    assert query(as_role["hindcast_reader"], read) == [("a",)]
    query(as_role["hindcast_pruner"], "DELETE FROM analytics_events WHERE created_at < '2024-02-01'")
    assert query(target, read) == []
    denied(as_role["hindcast_reader"], "SELECT hindcast_add_month('2030-01-01')")


def test_a_pruner_deletes_events_and_writes_the_whole_ledger(
    target: str, as_role: dict[str, str], tmp_path: Path
) -> None:
    import_as(as_role["hindcast_loader"], tmp_path)
    pruner = as_role["hindcast_pruner"]
    query(pruner, "DELETE FROM analytics_events WHERE import_chunk_id IS NOT NULL")
    query(pruner, "UPDATE import_runs SET status = 'rolled_back'")
    assert query(pruner, "SELECT raw FROM import_rejects") == [("not json",)]
    assert count_events(target) == 0
    denied(
        pruner,
        "UPDATE analytics_events SET event_type = 'x'",
        "SELECT * FROM platform_users",
        "DROP TABLE daily_events",
    )


@pytest.mark.parametrize("what", ["run", "window"])
def test_a_pruner_rolls_back_and_restores(target: str, as_role: dict[str, str], tmp_path: Path, what: str) -> None:
    begun = import_as(as_role["hindcast_loader"], tmp_path)
    before, pruner = table_digest(target), as_role["hindcast_pruner"]
    selected = {"run": begun.run.run_id} if what == "run" else {"window": JANUARY}
    report = roll_back(pruner, **selected)
    assert report["status"] == "rolled_back" and count_events(target) < 60
    begun.url = as_role["hindcast_loader"]
    assert begun.verify().status == "passed"
    restore(pruner, report["archive"])
    assert table_digest(target) == before


def test_a_reader_reads_events_and_the_ledger_without_set_aside_text(as_role: dict[str, str], tmp_path: Path) -> None:
    import_as(as_role["hindcast_loader"], tmp_path)
    reader = as_role["hindcast_reader"]
    assert query(reader, "SELECT count(*) FROM analytics_events") == [(60,)]
    assert query(reader, "SELECT line, code FROM import_rejects") == [(1, "malformed_json")]
    assert query(reader, "SELECT status, counts ->> 'loaded' FROM import_runs") == [("succeeded", "60")]
    query(reader, "SELECT * FROM lesson_dropoff")
    denied(
        reader,
        "SELECT raw FROM import_rejects",
        "SELECT report FROM import_runs",
        "INSERT INTO analytics_events (event_type) VALUES ('x')",
        "DELETE FROM daily_events",
        "UPDATE import_runs SET status = 'failed'",
        "SELECT * FROM platform_users",
    )


def test_with_row_level_security_a_loader_is_told_what_it_needs(
    target: str, tmp_path: Path, as_role: dict[str, str]
) -> None:
    query(target, "ALTER TABLE analytics_events ENABLE ROW LEVEL SECURITY")
    query(target, ROLES_SQL)
    query(target, ROLES_SQL)
    loader = as_role["hindcast_loader"]
    (failed,) = [check for check in check_target(loader, load_settings()) if check.status == "failed"]
    assert "lacks BYPASSRLS" in failed.sentence
    query(target, "ALTER ROLE a_hindcast_loader BYPASSRLS")
    import_as(loader, tmp_path)
    for role in ("hindcast_reader", "hindcast_pruner"):
        assert query(as_role[role], "SELECT count(*) FROM analytics_events") == [(60,)]
    query(as_role["hindcast_pruner"], "DELETE FROM analytics_events")
    assert count_events(target) == 0
