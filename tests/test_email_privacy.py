"""No clear address and no clear phone number is anywhere after an import: tables, staging, rejects, logs, reports."""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest
from flow_runs import backfill
from loading import begin
from psycopg import sql

from hindcast.rollups import ROLLUPS, days_with_rows, rebuild_rollup
from hindcast.synthetic import GenerateSpec, generate
from hindcast.synthetic.email_engagement import END, START
from hindcast.synthetic.email_odd import KINDS
from hindcast.synthetic.email_records import address_of, phone_of

pytest_plugins = ["flow_fixtures", "loading_fixtures"]

RECORDS = 4_000
PEOPLE = 60  # more than it takes for so many records
DIGITS = re.compile(r"[0-9](?:[\s().\-]*[0-9])*")


def make_export(folder: Path) -> tuple[Path, list[str], set[str]]:
    """An export, the addresses in it (before the `@`: no coding changes that part), and its phone numbers."""
    file = folder / "export.jsonl"
    answers = generate(GenerateSpec("email_engagement", RECORDS, 5, file, START, END))
    assert set(answers.planted) == {kind.__name__ for kind in KINDS}
    text = file.read_text("utf-8", "surrogateescape").lower()
    names = [address_of(person).partition("@")[0] for person in range(PEOPLE)]
    phones = {phone_of(person) for person in range(PEOPLE) if phone_of(person) in text}
    return file, [name for name in names if name in text], phones


def every_row(url: str) -> Iterator[tuple[str, str]]:
    """Every row of every table of the database as text."""
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT c.oid::regclass::text, n.nspname, c.relname FROM pg_class AS c JOIN pg_namespace AS n"
            " ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname = 'public'"
        ).fetchall()
        for name, schema, table in tables:
            rows = connection.execute(sql.SQL("SELECT t::text FROM {} AS t").format(sql.Identifier(schema, table)))
            yield from ((f"table {name}", text) for (text,) in rows)


def every_file(folder: Path) -> Iterator[tuple[str, str]]:
    """Every file below a folder as text, Parquet decoded."""
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".parquet":
            for row in pq.read_table(path).to_pylist():
                yield path.name, " ".join(str(value) for value in row.values())
        elif path.is_file():
            yield path.name, path.read_bytes().decode("utf-8", "backslashreplace")


def find_clear(texts: Iterator[tuple[str, str]], names: list[str], phones: set[str]) -> set[str]:
    """Where one of the names or phones is found, in any case, escaped, or with other digits' usual signs in it."""
    found, seen = set(), set()
    any_name = re.compile("|".join(map(re.escape, names)))
    for place, text in texts:
        seen.add(place)
        decoded = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), text).lower()
        if any_name.search(decoded):
            found.add(f"{place}: address")
        runs = (re.sub(r"\D", "", run[0]) for run in DIGITS.finditer(decoded))
        if any(run[-10:] in phones for run in runs if len(run) in (10, 11)):
            found.add(f"{place}: phone")
    assert len(seen) > 3
    return found


@pytest.mark.parametrize("secret", ["", "a secret"], ids=["without a secret", "with a secret"])
def test_an_import_leaves_no_clear_address_or_phone(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, secret: str
) -> None:
    if secret:
        monkeypatch.setenv("HINDCAST_PII_SECRET", secret)
    (tmp_path / "inbox").mkdir()
    file, names, phones = make_export(tmp_path / "inbox")
    assert len(names) > 10 and len(phones) > 5
    with caplog.at_level(logging.DEBUG):
        begun = begin(target, file, chunk=500)
        begun.load()
        assert begun.verify().status == "passed"
        with psycopg.connect(target) as connection:
            days = days_with_rows(connection, None, None)
            connection.rollback()
            assert all(rebuild_rollup(connection, rollup, days).is_proved for rollup in ROLLUPS)
        begun.finish()
    assert find_clear(every_row(target), names, phones) == set()
    assert find_clear(every_file(tmp_path / "home"), names, phones) == set()
    assert not any(name in caplog.text.lower() for name in (*names, *phones))


def test_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    file, names, phones = make_export(tmp_path)
    (tmp_path / "other").write_text("x")
    texts = [(f"line {n}", line) for n, line in enumerate(file.read_text("utf-8", "surrogateescape").splitlines())]
    found = find_clear(iter(texts), names, phones)
    assert len({place for place in found if place.endswith("address")}) > 2_000
    assert len({place for place in found if place.endswith("phone")}) > 100


@pytest.mark.flow
def test_a_run_through_prefect_leaves_no_clear_address_in_its_report(
    database: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "inbox").mkdir()
    file, names, phones = make_export(tmp_path / "inbox")
    report = backfill(file).report
    assert (report["status"], report["verification"]["status"]) == ("succeeded", "passed")
    folder = Path(report["report_path"]).parent
    assert {path.suffix for path in folder.iterdir()} >= {".html", ".json", ".jsonl"}
    assert find_clear(every_file(tmp_path / "home"), names, phones) == set()
    assert find_clear(every_row(database), names, phones) == set()
    shown = "".join(capfd.readouterr()) + json.dumps(report)
    assert not any(name in shown.lower() for name in (*names, *phones))
