"""The PostgreSQL of a benchmark: an embedded one of its own, with a fresh database for every measurement."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

import psutil
import psycopg
from psycopg import sql

from hindcast.database import add_months, migrate
from hindcast.embedded import EmbeddedServer


@contextmanager
def running_server(home: Path) -> Iterator[EmbeddedServer]:
    """A server that ends with the context, also by SIGTERM or Ctrl-C, together with every process started meanwhile."""
    before = signal.signal(signal.SIGTERM, _leave)
    server = EmbeddedServer(home)
    try:
        server.start()
        yield server
    finally:
        _kill_children()
        server.stop()
        signal.signal(signal.SIGTERM, before)


def fresh(server: EmbeddedServer, name: str, with_months_of: str | None = None) -> str:
    """Make an empty database with our schema, after a checkpoint; returns its URL.

    With `with_months_of`, a database of this server, its monthly partitions are there already.
    """
    url = empty(server, name)
    migrate(url)
    if with_months_of:
        with psycopg.connect(server.url(with_months_of)) as other:
            row = other.execute("SELECT min(created_at), max(created_at) FROM analytics_events").fetchone()
        assert row
        with psycopg.connect(url) as connection:
            add_months(connection, row[0], row[1])
    return url


def drop_all_but(server: EmbeddedServer, kept: str) -> None:
    """Drop what earlier measurements made, all but one: autovacuum would look after it during the next."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        names = connection.execute("SELECT datname FROM pg_database WHERE NOT datistemplate").fetchall()
        for (name,) in names:
            if name not in ("postgres", "hindcast", kept):
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def empty(server: EmbeddedServer, name: str) -> str:
    """Make a database with nothing in it, after a checkpoint; returns its URL."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        connection.execute("CHECKPOINT")
    return server.url(name)


def psql(server: EmbeddedServer, database: str, command: str) -> None:
    """Run one psql command."""
    subprocess.run(
        [str(server.binary("psql")), server.url(database), "-qXc", command], check=True, stdout=subprocess.DEVNULL
    )


def say(line: str) -> None:
    """Print, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


def _kill_children() -> None:
    children = psutil.Process().children(recursive=True)
    for child in children:
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(children, timeout=5)
