"""Tables of Prefect's own database: made at once, they are what its migrations make."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from flows import prefect_tables
from flows.prefect_tables import DATABASE, dump_migrated, make_tables
from hindcast.errors import HindcastError


@pytest.mark.flow
def test_they_are_what_the_migrations_of_the_installed_prefect_come_to(tmp_path: Path) -> None:
    assert make_tables(tmp_path)
    with closing(sqlite3.connect(tmp_path / DATABASE)) as connection:
        made = "\n".join(connection.iterdump())
    migrated = dump_migrated().split("\n", 1)[1]
    assert _clauses(made) == _clauses(migrated), "run `python -m flows.prefect_tables`"


def _clauses(statements: str) -> list[str]:
    """Of a table's foreign keys the migrations leave now the one first, now the other."""
    return sorted(line.strip().rstrip(",") for line in statements.splitlines() if line.strip())


def test_a_database_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_bytes(b"mine")
    assert not make_tables(tmp_path)
    assert (tmp_path / DATABASE).read_bytes() == b"mine"


def test_it_is_made_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = tmp_path / "broken.sql"
    text.write_text(prefect_tables._heading() + "CREATE TABLE a (b); CREATE TABLE a (b);")
    monkeypatch.setattr(prefect_tables, "_TABLES", text)
    with pytest.raises(HindcastError, match=r"prefect\.db: table a already exists"):
        make_tables(tmp_path / "home")
    assert not [*(tmp_path / "home").iterdir()]


def test_another_version_of_prefect_makes_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefect_tables, "version", lambda package: "0.1")
    assert not make_tables(tmp_path) and not [*tmp_path.iterdir()]


def test_a_database_elsewhere_is_left_to_prefect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", "sqlite+aiosqlite:///other.db")
    assert not make_tables(tmp_path) and not [*tmp_path.iterdir()]


def test_another_commands_that_came_meanwhile_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def come_first(made: Path, database: Path) -> None:
        database.write_bytes(b"theirs")
        link(made, database)

    monkeypatch.setattr(prefect_tables.os, "link", come_first)
    assert not make_tables(tmp_path)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"theirs"]


def test_without_links_it_is_left_to_prefect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(made: Path, database: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(prefect_tables.os, "link", refuse)
    assert not make_tables(tmp_path) and not [*tmp_path.iterdir()]
