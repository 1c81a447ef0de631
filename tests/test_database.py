"""Connections: what is told when one cannot be made, what is worth another try, and who may write."""

import pytest
from loading import query

from hindcast.database import connect, count_rows, describe_url, migrate, target_url
from hindcast.errors import ConfigurationError, TargetError, TransientError
from hindcast.load_task import LoadTask
from hindcast.settings import load_settings

pytest_plugins = ["loading_fixtures"]

PASSWORD = "s3cr3t#/@pass"
NOBODY_THERE = "postgresql://ada:s3cr3t@127.0.0.1:1/events"


@pytest.mark.parametrize(
    "url",
    [
        NOBODY_THERE,
        "postgresql://ada:s3cr3t@no-such-host.invalid/events",
        "host=127.0.0.1 port=1 user=ada password=s3cr3t dbname=events",
        "postgresql:///events?host=/no/such/folder&user=ada&password=s3cr3t",
    ],
)
def test_an_unreachable_database_is_one_line_without_the_password(url: str) -> None:
    for attempt in (lambda: connect(url, load_settings()).__enter__(), lambda: migrate(url)):
        with pytest.raises(TransientError, match=r"^database .*/events: .*check that it runs") as raised:
            attempt()
        assert "\n" not in str(raised.value)
        assert "s3cr3t" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:s3cr3t#@host/x?oops=1",
        "ada:s3cr3t@host",
        "postgresql://a:b%zz@h/s3cr3t",
        "mysql://ada:s3cr3t@h",
    ],
)
def test_a_url_that_cannot_be_read_is_not_shown(url: str) -> None:
    with pytest.raises(ConfigurationError, match="DATABASE_URL: cannot be read") as raised:
        connect(url, load_settings()).__enter__()
    assert "s3cr3t" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("postgresql://ada:p@db.example.org:6543/events", "db.example.org:6543/events"),
        ("postgresql://ada:p%23%2F%40@db.example.org/events?sslmode=require", "db.example.org:5432/events"),
        ("postgresql:///events?host=/tmp/socket", "local socket/events"),
        ("dbname=events", "local socket/events"),
    ],
)
def test_a_url_is_shown_without_user_and_password(url: str, where: str) -> None:
    assert describe_url(url) == where


@pytest.mark.parametrize(
    "scheme",
    [
        "postgres://",
        "postgresql://",
        "postgresql+psycopg://",
        "postgres+psycopg2://",
        "postgresql+asyncpg://",
    ],
)
def test_every_spelling_of_the_scheme_is_taken(scheme: str) -> None:
    settings = load_settings().model_copy(update={"database_url": _Secret(f"{scheme}h/x")})
    assert target_url(settings) == "postgresql://h/x"


class _Secret(str):
    def get_secret_value(self) -> str:
        return str(self)


def test_a_database_that_is_not_there_is_named(target: str) -> None:
    url = target.replace("/target_", "/nowhere_")
    with pytest.raises(TargetError, match=r'database "nowhere_.*" does not exist'):
        migrate(url)


def test_a_refusal_does_not_quote_the_row(target: str) -> None:
    with (
        pytest.raises(TargetError, match="violates not-null constraint") as raised,
        connect(target, load_settings()) as c,
    ):
        c.execute("INSERT INTO analytics_events (user_id) VALUES ('ada@example.org')")
    assert not isinstance(raised.value, TransientError)
    assert "ada" not in str(raised.value)


@pytest.mark.parametrize(
    ("statement", "is_transient"),
    [
        ("SELECT pg_terminate_backend(pg_backend_pid())", True),
        ("SET statement_timeout = 1; SELECT pg_sleep(5)", True),
        ("DO $$ BEGIN RAISE deadlock_detected; END $$", True),
        ("DO $$ BEGIN RAISE serialization_failure; END $$", True),
        ("DO $$ BEGIN RAISE lock_not_available; END $$", True),
        ("DO $$ BEGIN RAISE too_many_connections; END $$", True),
        ("SELECT * FROM nowhere", False),
        ("DO $$ BEGIN RAISE disk_full; END $$", False),
        ("SELECT 1 / 0", False),
    ],
)
def test_only_what_may_pass_by_itself_is_transient(target: str, statement: str, is_transient: bool) -> None:
    with pytest.raises(TargetError) as raised, connect(target, load_settings()) as connection:
        connection.execute(statement)  # type: ignore[arg-type]  # ours
    assert isinstance(raised.value, TransientError) == is_transient


def test_a_session_is_in_utc_with_our_timeouts(target: str) -> None:
    query(
        target,
        f"ALTER DATABASE {query(target, 'SELECT current_database()')[0][0]} SET timezone = 'Asia/Tokyo'",
    )
    settings = load_settings().model_copy(update={"lock_timeout_ms": 123, "statement_timeout_ms": 4567})
    with connect(target, settings) as connection:
        shown = [
            connection.execute(f"SHOW {name}").fetchone()[0]
            for name in ("timezone", "lock_timeout", "statement_timeout")
        ]
    assert shown == ["UTC", "123ms", "4567ms"]


def test_rows_are_counted(target: str) -> None:
    with connect(target, load_settings()) as connection:
        assert count_rows(connection, "analytics_events") == 0


def test_a_task_is_shown_without_its_url() -> None:
    assert "s3cr3t" not in repr(LoadTask(NOBODY_THERE, "", None, "", "", ()))
