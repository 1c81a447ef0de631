"""In the middle of each of our transactions the platform reads and inserts as if we were not there."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import psycopg
import pytest
from loading import begin, load, make_event, query, write_export

from hindcast.database import connect
from hindcast.ledger import touched_days
from hindcast.rollups import ROLLUPS, rebuild_rollup
from hindcast.settings import load_settings

pytest_plugins = ["loading_fixtures"]

GATE = 4711
# What these modes conflict with, neither a SELECT nor an INSERT takes.
HARMLESS = {"AccessShareLock", "RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock"}
LOCKS = (
    "SELECT DISTINCT l.mode, l.relation::regclass::text FROM pg_locks AS l"
    " INNER JOIN pg_stat_activity AS a USING (pid) INNER JOIN pg_class AS c ON c.oid = l.relation"
    " WHERE a.application_name LIKE 'hindcast%' AND l.granted AND c.relkind IN ('r', 'p', 'i', 'I')"
    " AND c.relnamespace = 'public'::regnamespace"
)
PAUSED = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


def use_the_platform(target: str, *also: str) -> None:
    """Read and write as the live platform does; raises LockNotAvailable when it would have to wait."""
    with psycopg.connect(target, options="-c lock_timeout=1000") as platform:
        for statement in (
            "SELECT count(*) FROM analytics_events",
            "INSERT INTO analytics_events (event_type) VALUES ('live')",
            "SELECT count(*) FROM daily_events",
            "SELECT count(*) FROM lesson_dropoff",
            *also,
        ):
            platform.execute(statement)  # type: ignore[arg-type]  # ours


def require_harmless(target: str, *new_tables: str) -> None:
    held = query(target, LOCKS)
    assert held
    assert not [row for row in held if row[0] not in HARMLESS and not row[1].startswith(new_tables or ("none",))]


@contextmanager
def paused_at(target: str, table: str, work: Callable[[], object]) -> Iterator[None]:
    """Run `work` in a thread until it has inserted into `table`; it goes on at the end."""
    query(
        target,
        "CREATE FUNCTION wait_here() RETURNS trigger LANGUAGE plpgsql AS"
        f" 'BEGIN PERFORM pg_advisory_xact_lock_shared({GATE}); RETURN NULL; END';"
        f" CREATE TRIGGER wait_here AFTER INSERT ON {table} EXECUTE FUNCTION wait_here()",
    )
    done: list[object] = []
    thread = threading.Thread(target=lambda: done.append(work()))
    with psycopg.connect(target, autocommit=True) as gate:
        gate.execute("SELECT pg_advisory_lock(%s)", (GATE,))
        thread.start()
        try:
            while not query(target, PAUSED):
                assert thread.is_alive()
            yield
        finally:
            gate.execute("SELECT pg_advisory_unlock(%s)", (GATE,))
            thread.join()
    assert done


def test_while_a_chunk_is_loaded(target: str, tmp_path: Path) -> None:
    begun = begin(target, write_export(tmp_path / "export.jsonl", [make_event(n) for n in range(60)]))
    with paused_at(target, "import_chunks", begun.load):
        require_harmless(target)
        use_the_platform(
            target, "INSERT INTO analytics_events (event_type, created_at) VALUES ('live', '2024-01-31 23:30Z')"
        )


def test_while_a_row_is_replaced(target: str, tmp_path: Path) -> None:
    events = [make_event(n, event_id=f"e{n}") for n in range(20)]
    load(target, write_export(tmp_path / "export.jsonl", events))
    changed = [event | {"user_id": "somebody else"} for event in events]
    begun = begin(target, write_export(tmp_path / "new.jsonl", changed), on_conflict="replace")
    with paused_at(target, "import_chunks", begun.load):
        require_harmless(target)
        use_the_platform(target)


@pytest.mark.parametrize("rollup", ROLLUPS)
def test_while_a_rollup_is_rebuilt(target: str, tmp_path: Path, rollup: str) -> None:
    begun = load(target, write_export(tmp_path / "export.jsonl", [make_event(n) for n in range(60)]))

    def rebuild() -> object:
        with connect(target, load_settings()) as connection:
            return rebuild_rollup(connection, rollup, touched_days(connection, begun.run.run_id))

    with paused_at(target, rollup, rebuild):
        require_harmless(target)
        use_the_platform(target)


def test_while_a_month_is_added(target: str) -> None:
    with connect(target, load_settings(), autocommit=False) as connection:
        connection.execute("SELECT hindcast_add_month(%s)", (date(2020, 5, 1),))
        require_harmless(target, "analytics_events_2020_05")
        use_the_platform(target)
        connection.commit()


def test_a_month_cannot_make_the_platform_queue_behind_a_long_query(target: str) -> None:
    with psycopg.connect(target) as dashboard, connect(target, load_settings()) as connection:
        dashboard.execute("SELECT count(*) FROM analytics_events")
        connection.execute("SELECT hindcast_add_month(%s)", (date(2020, 6, 1),))
        use_the_platform(target)
