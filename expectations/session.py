"""The gate's sessions on the target: read-only, UTC, closed however the gate ends."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from hindcast.database import SESSION, configure
from hindcast.errors import ConfigurationError, TargetError, TransientError

_SETTING_NAME: Final = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?")
_ALWAYS: Final = SESSION | {
    "default_transaction_read_only": "on",
    "max_parallel_workers_per_gather": "0",  # the target's cores are the platform's
    # Of what was just loaded there are no statistics: for one row of a view the planner would read whole months, twice.
    "enable_nestloop": "off",
}


class Sessions:
    """Opens sessions for an engine and remembers them, so that they can all be closed."""

    def __init__(self, url: str, settings: Mapping[str, str]) -> None:
        self._arguments = _connect_arguments(url)
        self._settings = {**settings, **_ALWAYS}
        self._opened: list[psycopg.Connection[Any]] = []
        for name in settings:
            if not _SETTING_NAME.fullmatch(name):
                raise ConfigurationError(f"session setting {name[:60]!r}: expected a PostgreSQL setting's name")

    def open(self) -> psycopg.Connection[Any]:
        """Open a session; raises TransientError when the target does not answer, TargetError on a setting."""
        try:
            connection = psycopg.connect(**self._arguments)
        except psycopg.OperationalError as error:
            raise TransientError(f"the gate cannot reach the target: {error}") from error
        self._opened.append(connection)
        try:
            configure(connection, self._settings)
        except psycopg.Error as error:
            raise TargetError(f"the target refused a session setting: {str(error)[:300]}") from error
        connection.commit()
        return connection

    def close(self) -> None:
        """Close every session that was opened. Safe to call twice."""
        for connection in self._opened:
            connection.close()


@contextmanager
def read_only_sessions(url: str, settings: Mapping[str, str]) -> Iterator[Sessions]:
    """Give sessions on the target that cannot write; all are closed at the end."""
    sessions = Sessions(url, settings)
    try:
        yield sessions
    finally:
        sessions.close()


def require_readable(sessions: Sessions, view: str) -> None:
    """Check that the view is there and can be read; raises TargetError."""
    query = sql.SQL("SELECT 1 FROM {} LIMIT 0").format(sql.Identifier("public", view))
    try:
        sessions.open().execute(query)
    except psycopg.Error as error:
        raise TargetError(f"the gate cannot read view public.{view}: {error}") from error


def _connect_arguments(url: str) -> dict[str, Any]:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigurationError("database URL: expected one like postgresql://user@host/name") from None
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise ConfigurationError(f"database URL: {parsed.get_backend_name()[:60]!r}: expected postgresql")
    psycopg_url = parsed.set(drivername="postgresql+psycopg")
    _, arguments = psycopg_url.get_dialect()().create_connect_args(psycopg_url)
    return dict(arguments)
