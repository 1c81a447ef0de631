"""A database with our schema for each test."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import Databases

from hindcast.embedded import EmbeddedServer


@pytest.fixture(scope="session")
def databases(postgres_server: EmbeddedServer) -> Databases:
    """Databases of the session's server, with our schema."""
    return Databases(postgres_server)


@pytest.fixture
def target(databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of an empty database with our schema; settings are the defaults, with a home of the test's own."""
    for name in os.environ:
        is_ours = name.startswith("HINDCAST_") and name != "HINDCAST_PREFECT_MINUTES"
        if is_ours or name in ("DATABASE_URL", "ANALYTICS_IMPORT_CHUNK_SIZE"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HINDCAST_HOME", str(tmp_path / "home"))
    yield databases.take()
    databases.give_back()


@pytest.fixture
def configured(target: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """URL of an empty target that the environment names; the environment is put back."""
    before = dict(os.environ)
    monkeypatch.setenv("DATABASE_URL", target)
    monkeypatch.chdir(tmp_path)
    yield target
    os.environ.clear()
    os.environ.update(before)
    server = sys.modules.get("flows.private_server")
    assert not server or not server._used, "Prefect's server was started: it costs ten seconds of a core"
