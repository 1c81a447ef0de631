"""What the tests share: one real PostgreSQL for the whole session, and empty databases in it.

HINDCAST_TEST_PG picks the major version, 16 or 18 (default).
"""

import functools
import gc
import os
import signal
import ssl
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import hypothesis
import psycopg
import pytest
from psycopg import sql

from hindcast.embedded import EmbeddedServer

# How long an example takes says how busy the machine is, and nothing of what is tested.
hypothesis.settings.register_profile("busy machine", deadline=None)
hypothesis.settings.load_profile("busy machine")

# Every HTTP client, also Prefect's, reads the certificates of the world: 50 ms, and no test speaks TLS.
ssl.create_default_context = functools.cache(ssl.create_default_context)  # type: ignore[assignment]

# Commands run by tests take their Prefect server with them.
os.environ["HINDCAST_PREFECT_MINUTES"] = "0"

POSTGRES_VERSION = int(os.environ.get("HINDCAST_TEST_PG", "18"))
NOT_DURABLE = {
    "shared_buffers": "256MB",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
}
MakeServer = Callable[[Path], EmbeddedServer]
_database_numbers = count(1)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a background job's; the commands tested would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """What was imported stays: looking through it for rubbish is a tenth of what the tests take."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: a fifth of the time a test waits for a server it has started."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in a hook of this name, which would come before
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file's tests run in one process; all that share a Prefect server run in the same one, and first."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group("prefect" if _shares_prefect(item) else item.path.stem))
    items.sort(key=lambda item: not _shares_prefect(item))


def _shares_prefect(item: pytest.Item) -> bool:
    return "prefect_api" in getattr(item, "fixturenames", ())


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(tmp_path_factory.mktemp("home"), POSTGRES_VERSION, NOT_DURABLE)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def empty_database(postgres_server: EmbeddedServer) -> Iterator[str]:
    """URL of a new database, dropped afterwards whoever is still connected."""
    name = f"test_{next(_database_numbers)}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE template0 STRATEGY FILE_COPY")
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute(create.format(sql.Identifier(name)))
        yield postgres_server.url(name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def make_server() -> Iterator[MakeServer]:
    made = []

    def make(home: Path) -> EmbeddedServer:
        made.append(EmbeddedServer(home, POSTGRES_VERSION, NOT_DURABLE, timeout_seconds=30))
        return made[-1]

    yield make
    for server in made:
        server.stop()
