"""A migrated database for each test, copied from one that was migrated once."""

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from hindcast.database import migrate
from hindcast.embedded import EmbeddedServer

TEMPLATE = "migrated"


@pytest.fixture(scope="session")
def migrated_server(postgres_server: EmbeddedServer) -> EmbeddedServer:
    """The server with a database TEMPLATE that has our schema."""
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
    migrate(postgres_server.url(TEMPLATE))
    return postgres_server


@pytest.fixture
def target(migrated_server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of an empty database with our schema; settings are the defaults, with a home of the test's own."""
    for name in os.environ:
        is_ours = name.startswith("HINDCAST_") and name != "HINDCAST_PREFECT_MINUTES"
        if is_ours or name in ("DATABASE_URL", "ANALYTICS_IMPORT_CHUNK_SIZE"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HINDCAST_HOME", str(tmp_path / "home"))
    name = sql.Identifier(f"target_{os.getpid()}")
    with psycopg.connect(migrated_server.url("postgres"), autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(name, sql.Identifier(TEMPLATE))
        )
        yield migrated_server.url(f"target_{os.getpid()}")
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.fixture
def configured(target: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """URL of an empty target that the environment names; the environment is put back."""
    before = dict(os.environ)
    monkeypatch.setenv("DATABASE_URL", target)
    monkeypatch.chdir(tmp_path)
    yield target
    os.environ.clear()
    os.environ.update(before)
