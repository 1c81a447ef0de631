"""Newcomers a day: an older backfill corrects later days, and so does taking it back."""

from datetime import date

import psycopg
import pytest
from loading import query

from hindcast.database import add_months, connect
from hindcast.rollups import prove_rollup, rebuild_rollup
from hindcast.settings import load_settings

pytest_plugins = ["loading_fixtures"]

DAYS = [date(2024, 3, day) for day in range(1, 10)]
NEW = "SELECT extract(day FROM day)::int, users, new_users FROM daily_active_users ORDER BY day"


@pytest.fixture
def connection(target: str) -> psycopg.Connection:
    with connect(target, load_settings()) as opened:
        add_months(opened, DAYS[0], DAYS[-1])
        yield opened


def see(connection: psycopg.Connection, day: int, *users: str) -> None:
    """Insert an event of each user on a day of March, and rebuild that day alone."""
    for user in users:
        connection.execute(
            "INSERT INTO analytics_events (created_at, source, event_type, user_id)"
            " VALUES (%s, 'amplitude', 'view', %s)",
            (DAYS[day - 1], user),
        )
    assert rebuild_rollup(connection, "daily_active_users", [DAYS[day - 1]]).is_proved


def forget(connection: psycopg.Connection, day: int, user: str) -> None:
    connection.execute("DELETE FROM analytics_events WHERE created_at = %s AND user_id = %s", (DAYS[day - 1], user))
    assert rebuild_rollup(connection, "daily_active_users", [DAYS[day - 1]]).is_proved


def test_an_older_backfill_corrects_the_day_that_was_first(target: str, connection: psycopg.Connection) -> None:
    see(connection, 5, "ann", "bob")
    see(connection, 7, "ann")
    assert query(target, NEW) == [(5, 2, 2), (7, 1, 0)]
    see(connection, 2, "ann")
    assert query(target, NEW) == [(2, 1, 1), (5, 2, 1), (7, 1, 0)]


def test_taking_the_first_day_back_makes_a_later_one_first(target: str, connection: psycopg.Connection) -> None:
    for day in (2, 5, 7):
        see(connection, day, "ann")
    forget(connection, 2, "ann")
    assert query(target, NEW) == [(5, 1, 1), (7, 1, 0)]
    forget(connection, 5, "ann")
    forget(connection, 7, "ann")
    assert (query(target, NEW), query(target, "TABLE first_seen_users"), query(target, "TABLE daily_users")) == (
        [],
        [],
        [],
    )


def test_other_months_are_not_even_looked_at(target: str, connection: psycopg.Connection) -> None:
    add_months(connection, date(2024, 4, 1), date(2024, 4, 2))
    connection.execute("SET lock_timeout = '5s'")
    with psycopg.connect(target) as other:
        other.execute("LOCK TABLE analytics_events_2024_04 IN ACCESS EXCLUSIVE MODE")
        see(connection, 2, "ann")
    assert query(target, NEW) == [(2, 1, 1)]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE first_seen_users SET first_day = '2024-03-04'",
        "DELETE FROM first_seen_users",
        "DELETE FROM daily_users",
        "UPDATE daily_active_users SET new_users = 5",
    ],
)
def test_the_proof_covers_what_newcomers_are_counted_from(
    target: str, connection: psycopg.Connection, damage: str
) -> None:
    see(connection, 5, "ann")
    assert prove_rollup(connection, "daily_active_users", DAYS).is_proved
    query(target, damage)
    assert not prove_rollup(connection, "daily_active_users", DAYS).is_proved
