"""The tables of Prefect's own database, made at once in a home that has none.

Prefect's server makes them by every migration it ever had, one after the other: ten seconds of a core before a
newcomer's first command does anything. `prefect_tables.sql` is what those of one version come to, and a test compares
it with them. After an update of Prefect `python -m flows.prefect_tables` writes it anew; until then, and for another
version, Prefect's migrations run as ever.
"""

import contextlib
import os
import sqlite3
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Final

from hindcast.errors import HindcastError

DATABASE: Final = "prefect.db"
_NAMED_BY: Final = (
    "PREFECT_SERVER_DATABASE_CONNECTION_URL",
    "PREFECT_API_DATABASE_CONNECTION_URL",
    "PREFECT_SERVER_DATABASE_NAME",
    "PREFECT_API_DATABASE_NAME",
)
_TABLES: Final = Path(__file__).with_name("prefect_tables.sql")
_HEADING: Final = "-- Prefect {}: what its migrations come to on SQLite (Apache License 2.0). See prefect_tables.py.\n"


def make_tables(home: Path) -> bool:
    """Make the database in a folder that has none, whole or not at all; False when it is left to Prefect.

    Raises HindcastError when it cannot be written.
    """
    text = _TABLES.read_text()
    if is_elsewhere() or not text.startswith(_heading()) or (home / DATABASE).exists():
        return False
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{DATABASE}-", dir=home) as aside:
            made = Path(aside, DATABASE)
            with contextlib.closing(sqlite3.connect(made)) as connection:
                connection.executescript(text)
            return _put(made, home / DATABASE)
    except (OSError, sqlite3.Error) as error:
        raise HindcastError(f"{home / DATABASE}: {error}: Prefect keeps its runs there") from error


def _put(made: Path, database: Path) -> bool:
    """Give it its name unless there is one: another command's may be in use. Some file systems have no links."""
    try:
        os.link(made, database)
    except OSError:
        return False
    return True


def is_elsewhere() -> bool:
    """True when the environment names another database than the folder's."""
    return any(name in os.environ for name in _NAMED_BY)


def dump_migrated() -> str:
    """What Prefect's migrations make of an empty folder, as SQL; takes them some ten seconds."""
    with tempfile.TemporaryDirectory() as home:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        subprocess.run(
            [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"],
            env=environment | {"PREFECT_HOME": home}, cwd=home, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        with contextlib.closing(sqlite3.connect(Path(home, DATABASE))) as connection:
            return _heading() + "\n".join(connection.iterdump()) + "\n"


def _heading() -> str:
    return _HEADING.format(version("prefect"))


if __name__ == "__main__":
    _TABLES.write_text(dump_migrated())
