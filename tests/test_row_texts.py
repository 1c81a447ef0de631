"""Rows as texts: copied out of the server as they are, and hashed the same by the kernel and by Python."""

from collections.abc import Iterator

import psycopg
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql

import hindcast.row_texts
from hindcast.embedded import EmbeddedServer
from hindcast.errors import ArchiveError
from hindcast.kernel import _kernel, is_compiled
from hindcast.row_digest import hash_row
from hindcast.row_texts import copy_texts, hash_rows, send_texts

TEXTS = st.one_of(
    st.none(),
    st.text(st.sampled_from(" \t\n\v\f\r\"\\(),'a\x1c\x85\u2028é😀"), max_size=6),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=300),
)
ROWS = st.integers(1, 5).flatmap(lambda width: st.lists(st.tuples(*[TEXTS] * width), min_size=1, max_size=8))
NAMES = [f"column {n}" for n in range(5)]


@pytest.fixture(scope="module")
def session(postgres_server: EmbeddedServer) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        yield connection


def as_columns(rows: list[tuple[str | None, ...]]) -> list[pa.ChunkedArray]:
    return [pa.chunked_array([pa.array(column, pa.string())]) for column in zip(*rows, strict=True)]


def copy(session: psycopg.Connection, rows: list[tuple[str | None, ...]], most: int = 1_000) -> list[pa.Table]:
    width = len(rows[0])
    values = sql.SQL(", ").join(
        sql.SQL("({})").format(sql.SQL(", ").join(sql.SQL("{}::text").format(value) for value in (n, *row)))
        for n, row in enumerate(rows)
    )
    query = sql.SQL("SELECT * FROM (VALUES {}) AS v ORDER BY column1::int").format(values)
    return list(copy_texts(session, query, ["number", *NAMES[:width]], most))


@given(rows=ROWS)
def test_rows_arrive_as_they_are(session: psycopg.Connection, rows: list[tuple[str | None, ...]]) -> None:
    (table,) = copy(session, rows)
    assert [tuple(row.values())[1:] for row in table.to_pylist()] == rows


@given(rows=ROWS)
def test_rows_come_back_as_they_are(session: psycopg.Connection, rows: list[tuple[str | None, ...]]) -> None:
    names = NAMES[: len(rows[0])]
    columns = sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(name)) for name in names)
    with session.transaction(force_rollback=True):
        session.execute(sql.SQL("CREATE TEMP TABLE sent (number serial, {})").format(columns))
        assert send_texts(session, "sent", pa.table(as_columns(rows), names)) == len(rows)
        assert [row[1:] for row in session.execute("SELECT * FROM sent ORDER BY number").fetchall()] == rows


@given(rows=ROWS)
def test_the_kernel_hashes_rows_as_python_does(rows: list[tuple[str | None, ...]]) -> None:
    expected = b"".join(map(hash_row, rows))
    assert hash_rows(as_columns(rows)) == expected
    sliced = [column.slice(len(rows) // 2) for column in as_columns([*rows, *rows])]
    assert hash_rows(sliced) == b"".join(map(hash_row, [*rows, *rows][len(rows) // 2 :]))


def test_without_the_kernel_python_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("a", None), ('"', "")]
    expected = hash_rows(as_columns(rows))
    monkeypatch.setattr(hindcast.row_texts, "has_kernel", lambda: False)
    assert hash_rows(as_columns(rows)) == expected


@pytest.mark.skipif(not is_compiled, reason="the kernel was not compiled")
def test_the_kernel_refuses_columns_that_have_fewer_rows() -> None:
    ends, data = bytes(4) + (1).to_bytes(4, "little"), b"a"
    assert len(_kernel.hash_rows(((ends, data, None, 0),), 1)) == 16
    for column, rows in (((ends, data, None, 0), 2), ((ends, b"", None, 0), 1), ((ends, data, None, 1), 1)):
        with pytest.raises(ValueError, match="fewer rows"):
            _kernel.hash_rows((column,), rows)
    for rows, offset in ((-1, 0), (1, -1)):
        with pytest.raises(ValueError, match=r"-1"):
            _kernel.hash_rows(((ends, data, None, offset),), rows)
    with pytest.raises(TypeError):
        _kernel.hash_rows(((ends, data, None, 0), (ends, 1, None, 0)), 1)


def test_tables_are_bounded_by_rows_and_by_bytes(session: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[tuple[str | None, ...]] = [("x" * 100,)] * 10
    assert [len(table) for table in copy(session, rows, most=4)] == [4, 4, 2]
    monkeypatch.setattr(hindcast.row_texts, "_TABLE_BYTES", 250)
    assert [len(table) for table in copy(session, rows)] == [3, 3, 3, 1]


def test_a_row_longer_than_a_table_is_a_table(session: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hindcast.row_texts, "_TABLE_BYTES", 1_000)
    rows: list[tuple[str | None, ...]] = [('é\n"' * 700_000,), ("b",)]
    assert [table["column 0"].to_pylist() for table in copy(session, rows)] == [[rows[0][0]], ["b"]]


def test_rows_that_cannot_be_read_are_told() -> None:
    for data, said in ((b"a,b\n", "cannot be read"), (b"a\nb\n", "sent 1 rows, 2 were read"), (b"\xff\n", "cannot")):
        with pytest.raises(ArchiveError, match=said):
            hindcast.row_texts._parse(data, 1, ["one"])
