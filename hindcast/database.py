"""Connections to the target, and its schema. psycopg where rows flow, SQLAlchemy for the migrations."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from hindcast.errors import ConfigurationError, TargetError, TransientError
from hindcast.settings import Settings

MONTHS_AHEAD: Final = 12
OLDEST_SERVER: Final = 150_000

WRITER_LOCK: Final = 0x48696E6463617374  # "Hindcast": one writer a database
# A peer that is gone without a word is noticed in a minute, not in two hours.
_ALIVE: Final[dict[str, Any]] = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
# Whatever the database or the role prefers: that rows compare as texts depends on their one exact form, and what a
# statement means on the rest.
SESSION: Final = {
    "client_encoding": "UTF8",
    "search_path": "public",
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "quote_all_identifiers": "off",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "default_transaction_isolation": "read committed",
}
_TRANSIENT: Final = (
    psycopg.errors.SerializationFailure,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.LockNotAvailable,
    psycopg.errors.QueryCanceled,  # our statement timeout
    psycopg.errors.AdminShutdown,
    psycopg.errors.CrashShutdown,
    psycopg.errors.TooManyConnections,
    psycopg.errors.CannotConnectNow,
    psycopg.errors.UniqueViolation,  # two writers raced for a key: the second look finds it taken
    psycopg.InterfaceError,
)


def target_url(settings: Settings) -> str:
    """The libpq URL of the target: DATABASE_URL, else the embedded server, started and migrated if needed."""
    if settings.database_url is not None:
        url = settings.database_url.get_secret_value()
        return re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url)
    from hindcast.embedded import EmbeddedServer

    server = EmbeddedServer(settings.home, settings.embedded_version)
    server.start()
    url = server.url()
    migrate(url)
    return url


def describe_url(url: str) -> str:
    """Where a URL (or a libpq string) points, without user or password; raises ConfigurationError if nowhere."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise ConfigurationError(
            "DATABASE_URL: cannot be read; expected postgresql://user:password@host:5432/database"
        ) from None
    host = str(parts.get("host") or "")
    where = "local socket" if not host or host.startswith("/") else f"{host}:{parts.get('port') or 5432}"
    return f"{where}/{parts.get('dbname') or ''}"


@contextlib.contextmanager
def connect(url: str, settings: Settings, autocommit: bool = True) -> Iterator[psycopg.Connection]:
    """A session as `SESSION` has it, with our timeouts. Faults of the database come out as ours."""
    with (
        translated(url),
        psycopg.connect(url, autocommit=True, application_name="hindcast", connect_timeout=10, **_ALIVE) as connection,
    ):
        timeouts = {"lock_timeout": settings.lock_timeout_ms, "statement_timeout": settings.statement_timeout_ms}
        configure(connection, SESSION | {name: str(value) for name, value in timeouts.items()})
        connection.autocommit = autocommit
        yield connection


def configure(connection: psycopg.Connection, settings: Mapping[str, str]) -> None:
    """Set what the session is to have, at once. Not as start-up options: poolers refuse those, also in session mode."""
    setting = sql.SQL("set_config({}, {}, false)")
    pairs = [setting.format(sql.Literal(name), sql.Literal(value)) for name, value in settings.items()]
    connection.execute(sql.SQL("SELECT {}").format(sql.SQL(", ").join(pairs)))


@contextlib.contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn psycopg's errors into ours: what may pass by itself is a TransientError."""
    try:
        yield
    except psycopg.Error as error:
        sentence = f"database {describe_url(url)}: {_describe_error(error)}"
        is_lost = isinstance(error, psycopg.OperationalError) and error.sqlstate is None
        if is_lost or isinstance(error, _TRANSIENT):
            raise TransientError(f"{sentence}; check that it runs and DATABASE_URL is right") from error
        raise TargetError(sentence) from error


def migrate(url: str) -> str:
    """Bring the schema up to date, partitions twelve months ahead; returns the revision. Safe to run twice."""
    with translated(url), _connect_patiently(url) as connection:
        _require_server(connection)
        revision = _read_revision(connection)
    if revision != newest_revision():
        _upgrade(url)
    with translated(url), _connect_patiently(url) as connection:
        add_months_ahead(connection)
    return newest_revision()


def newest_revision() -> str:
    """The revision this version of Hindcast needs; the migrations' names begin with it."""
    versions = Path(__file__).parent / "migrations" / "versions"
    return max(path.name[1:5] for path in versions.glob("v[0-9]*.py"))


def require_schema(connection: psycopg.Connection) -> None:
    """Raise TargetError unless the server is new enough and the schema is the one we need."""
    _require_server(connection)
    revision = _read_revision(connection)
    if revision != newest_revision():
        raise TargetError(
            f"the database schema is at revision {revision or 'none'}, expected {newest_revision()}: "
            "run `hindcast db migrate`"
        )


def add_months(connection: psycopg.Connection, first: datetime | date, last: datetime | date) -> int:
    """Create the months from `first` to `last` that do not exist; returns how many. One month a transaction."""
    months = connection.execute(
        "SELECT generate_series(date_trunc('month', %s::date), %s::date, interval '1 month')::date",
        (first, last),
    ).fetchall()
    existing = {
        name
        for (name,) in connection.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'analytics_events'::regclass"
        )
    }
    connection.commit()
    added = 0
    for (month,) in months:
        if f"analytics_events_{month:%Y_%m}" in existing:
            continue
        row = connection.execute("SELECT hindcast_add_month(%s)", (month,)).fetchone()
        connection.commit()
        added += bool(row and row[0])
    return added


def add_months_ahead(connection: psycopg.Connection) -> int:
    """Keep twelve months ready for the live platform's own inserts."""
    row = connection.execute(
        "SELECT now()::date, (now() + make_interval(months => %s))::date", (MONTHS_AHEAD,)
    ).fetchone()
    assert row
    return add_months(connection, row[0], row[1])


def count_rows(connection: psycopg.Connection, table: str) -> int:
    """Rows in a table, counted."""
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
    assert row
    return int(row[0])


def _connect_patiently(url: str) -> psycopg.Connection:
    """A session for changes of the schema: as `SESSION` has it, without our timeouts."""
    connection = psycopg.connect(url, autocommit=True, application_name="hindcast", connect_timeout=10, **_ALIVE)
    configure(connection, SESSION)
    connection.autocommit = False
    return connection


def _require_server(connection: psycopg.Connection) -> None:
    if connection.info.server_version < OLDEST_SERVER:
        raise TargetError(f"PostgreSQL {connection.info.server_version // 10_000}: expected 15 or newer")


def _read_revision(connection: psycopg.Connection) -> str | None:
    found = connection.execute("SELECT to_regclass('public.hindcast_version')").fetchone()
    if not found or not found[0]:
        return None
    row = connection.execute("SELECT version_num FROM public.hindcast_version").fetchone()
    return str(row[0]) if row else None


def _describe_error(error: psycopg.Error) -> str:
    """One line, without the server's details, which may quote a row."""
    return " ".join((error.diag.message_primary or str(error)).split())[:400]


def _upgrade(url: str) -> None:
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import NullPool

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    engine = create_engine("postgresql+psycopg://", creator=lambda: _connect_patiently(url), poolclass=NullPool)
    with translated(url):
        try:
            with engine.begin() as connection:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": WRITER_LOCK + 1})
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        except DBAPIError as error:
            if isinstance(error.orig, psycopg.Error):
                raise error.orig from error
            raise
