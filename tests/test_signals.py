"""What each signal sees of a real server."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from loading import query

from hindcast.database import connect
from hindcast.settings import Settings, load_settings
from hindcast.signals import SIGNALS, watched_signals
from hindcast.signals.canary import Canary
from hindcast.signals.lock_waits import BlockedByUs, LockWaits
from hindcast.signals.replication_lag import ReplicationBacklog, ReplicationLag
from hindcast.signals.wal_rate import WalRate

pytest_plugins = ["loading_fixtures"]


def settings(**changes: Any) -> Settings:
    return load_settings().model_copy(update=changes)


@pytest.fixture
def connection(target: str) -> Iterator[psycopg.Connection]:
    with connect(target, settings(statement_timeout_ms=2_000)) as connection:
        yield connection


@contextmanager
def waiting_session(target: str, holder: psycopg.Connection) -> Iterator[None]:
    """A session of the platform that waits for a lock which `holder` has until the end."""
    holder.execute("BEGIN; LOCK TABLE daily_events IN ACCESS EXCLUSIVE MODE")
    waiter = threading.Thread(target=query, args=(target, "SELECT count(*) FROM daily_events"))
    waiter.start()
    try:
        while not query(
            target, "SELECT 1 FROM pg_locks WHERE NOT granted AND waitstart < clock_timestamp() - interval '0.25 s'"
        ):
            pass
        yield
    finally:
        holder.execute("ROLLBACK")
        waiter.join()


def test_the_log_that_others_write_is_seen(target: str, connection: psycopg.Connection) -> None:
    signal = WalRate(settings())
    assert signal.measure(connection) is None
    query(target, "CREATE TABLE wide (x text)")
    query(target, "INSERT INTO wide SELECT repeat('x', 1000) FROM generate_series(1, 5000)")
    rate = signal.measure(connection)
    assert rate and rate > 1


def test_without_standbys_there_is_no_lag(connection: psycopg.Connection) -> None:
    assert ReplicationLag(settings()).measure(connection) is None
    assert ReplicationBacklog(settings()).measure(connection) is None


def test_a_session_that_waits_for_ours_is_seen(target: str, connection: psycopg.Connection) -> None:
    signal = BlockedByUs(settings())
    assert signal.measure(connection) == 0
    with connect(target, settings()) as ours, waiting_session(target, ours):
        waited = signal.measure(connection)
    assert waited and waited > 0.25


def test_a_session_that_waits_for_others_is_no_fault_of_ours(target: str, connection: psycopg.Connection) -> None:
    with psycopg.connect(target, autocommit=True) as other, waiting_session(target, other):
        assert BlockedByUs(settings()).measure(connection) == 0
        assert LockWaits(settings()).measure(connection) == 1
    assert LockWaits(settings()).measure(connection) == 0


def test_the_canarys_limit_comes_from_its_own_idle_baseline(connection: psycopg.Connection) -> None:
    canary = Canary(settings(canary_limit_ms=0.0001, canary_limit_factor=5))
    baseline = canary.measure(connection)
    assert baseline and canary.limit == 5 * baseline
    assert canary.measure(connection)


def test_the_canarys_limit_is_at_least_what_was_set(connection: psycopg.Connection) -> None:
    canary = Canary(settings(canary_limit_ms=10_000))
    canary.measure(connection)
    assert canary.limit == 10_000


def test_the_canary_finds_rows_by_the_index(target: str, connection: psycopg.Connection) -> None:
    query(target, "INSERT INTO analytics_events (event_type) SELECT 'live' FROM generate_series(1, 500)")
    canary = Canary(settings())
    canary.measure(connection)
    key = canary._keys[0]
    rows = connection.execute(
        "EXPLAIN SELECT event_type FROM analytics_events WHERE event_id = %s AND created_at = %s", key
    )
    plan = "\n".join(line for (line,) in rows)
    assert "Index" in plan and "Seq Scan" not in plan and plan.count("analytics_events_") == 2


def test_a_canary_of_ones_own_reads_only(target: str, connection: psycopg.Connection) -> None:
    assert Canary(settings(canary_query="SELECT 1")).measure(connection)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        Canary(settings(canary_query="DELETE FROM daily_events")).measure(connection)


def test_a_canary_that_takes_too_long_is_as_slow_as_that(connection: psycopg.Connection) -> None:
    connection.execute("SET statement_timeout = 100")
    baseline = Canary(settings(canary_query="SELECT pg_sleep(5)")).measure(connection)
    assert baseline and 95 < baseline < 2_000


def test_a_limit_of_0_is_not_watched(target: str) -> None:
    assert len(watched_signals(settings())) == len(SIGNALS)
    none = dict.fromkeys(
        (
            "max_wal_mb_per_second",
            "max_replication_lag_seconds",
            "max_replication_backlog_mb",
            "max_blocked_seconds",
            "max_lock_waits",
            "canary_limit_ms",
        ),
        0.0,
    )
    assert not watched_signals(settings(**none))


def test_signals_work_for_a_role_without_privileges(target: str) -> None:
    query(target, "CREATE ROLE nobody_special LOGIN")
    try:
        query(target, "GRANT SELECT ON analytics_events TO nobody_special")
        with psycopg.connect(target, autocommit=True) as plain, connect(target, settings()) as ours:
            plain.execute("SET ROLE nobody_special")
            with waiting_session(target, ours):
                assert BlockedByUs(settings()).measure(plain)
                assert LockWaits(settings()).measure(plain) == 1
            for signal in watched_signals(settings()):
                signal.measure(plain)
    finally:
        query(target, "DROP OWNED BY nobody_special")
        query(target, "DROP ROLE nobody_special")
