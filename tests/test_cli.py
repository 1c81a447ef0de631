"""The command without Prefect: usage, errors, and what reads the ledger."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from loading import load, make_event, query, stage, write_export

from flows.cli import cli
from flows.terminal import fail, show_progress, show_report
from hindcast.closing import close_run
from hindcast.embedded_files import socket_dir_of
from hindcast.errors import GateError
from hindcast.findings import begin
from hindcast.plan import Request
from hindcast.progress import tell
from hindcast.settings import load_settings

pytest_plugins = ["loading_fixtures"]

ROOT = Path(__file__).parents[1]


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("backfill",), "Missing option '-f' / '--file'"),
        (("backfill", "-f", "x", "--chunk", "0"), "0 is not in the range"),
        (("backfill", "-f", "x", "--format", "csv"), "'csv' is not "),
        (("backfill", "-f", "x", "--option", "scrub_pii"), "'scrub_pii': expected NAME=VALUE"),
        (("backfill", "-f", "x", "--on-conflict", "guess"), "'guess' is not one of 'keep', 'replace', 'fail'"),
        (("rollup",), "Missing option '--once'"),
        (("rejects",), "Missing option '--run'"),
        (("generate", "nothing", "--out", "x"), "No such command 'nothing'"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_was_expected(arguments: tuple[str, ...], sentence: str) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr and not result.stdout


def test_a_bad_window_and_a_missing_file_are_told_in_one_line_before_prefect_starts(configured: str) -> None:
    window = call("backfill", "-f", __file__, "--window", "2024-02-01..2024-01-01")
    assert window.exit_code == 2
    assert window.stderr == (
        "hindcast: window '2024-02-01..2024-01-01': its start is not before its end (the end is not included)\n"
    )
    missing = call("backfill", "-f", "/no/such/history.jsonl", "--dry-run")
    assert missing.exit_code == 1
    assert missing.stderr == "hindcast: /no/such/history.jsonl: no such file or folder\n"


def test_a_bad_setting_is_named(configured: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANALYTICS_IMPORT_POOL_SIZE", "many")
    result = call("runs")
    assert result.exit_code == 2
    assert result.stderr.startswith("hindcast: setting ANALYTICS_IMPORT_POOL_SIZE: ")


def test_a_target_that_is_not_there_or_has_no_schema_ends_with_1(
    configured: str, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://somebody:secret@127.0.0.1:1/nothing")
    result = call("runs")
    assert result.exit_code == 1 and result.stderr.startswith("hindcast: database 127.0.0.1:1/nothing: ")
    assert result.stderr.count("\n") == 1 and "secret" not in result.stderr
    monkeypatch.setenv("DATABASE_URL", empty_database)
    result = call("rejects", "--run", "0")
    assert result.exit_code == 1 and "run `hindcast db migrate`" in result.stderr


def test_generate_writes_an_export_and_its_key(tmp_path: Path) -> None:
    out = tmp_path / "history.jsonl.gz"
    result = call("generate", "analytics_history", "--count", "300", "--seed", "3", "--out", str(out))
    assert result.exit_code == 0 and result.stdout.startswith(f"{out}: 300 records, ")
    assert json.loads((tmp_path / "history.jsonl.gz.answers.json").read_text())["lines"] == 300


def test_runs_lists_the_ledger_newest_first(configured: str, tmp_path: Path) -> None:
    assert call("runs").stdout == "no runs yet\n"
    load(configured, write_export(tmp_path / "first.jsonl", map(make_event, range(3))))
    load(configured, write_export(tmp_path / "second.jsonl", map(make_event, range(4))))
    lines = call("runs").stdout.splitlines()
    assert [line.rpartition("/")[2] for line in lines] == ["second.jsonl", "first.jsonl"]
    assert "succeeded" in lines[0] and " loaded          1 " in lines[0] and " duplicate          3 " in lines[0]
    newest = json.loads(call("runs", "--json", "--limit", "1").stdout)
    assert (newest["status"], newest["counts"]["loaded"], newest["operator"]) == ("succeeded", 1, "ab")


def test_rejects_lists_place_reason_and_text(configured: str, tmp_path: Path) -> None:
    run = load(configured, write_export(tmp_path / "history.jsonl", [*map(make_event, range(3)), "not json"])).run
    result = call("rejects", "--run", str(run.run_id)[:8])
    assert result.exit_code == 0
    first, text = result.stdout.splitlines()
    assert first.startswith("history.jsonl line 4 byte ") and ": malformed_json: " in first
    assert text.strip() == "not json"
    assert json.loads(call("rejects", "--run", str(run.run_id), "--json").stdout)["code"] == "malformed_json"
    assert call("rejects", "--run", "nothing").exit_code == 2


def test_db_url_prints_the_target_and_starts_nothing(configured: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("db", "url").stdout.strip() == configured
    monkeypatch.delenv("DATABASE_URL")
    assert f"host={socket_dir_of(load_settings().home)}&" in call("db", "url").stdout
    assert not load_settings().home.exists()


def test_db_migrate_brings_an_empty_database_up_to_date(
    configured: str, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database)
    result = call("db", "migrate")
    assert result.exit_code == 0 and ": schema at revision " in result.stdout
    assert query(empty_database, "SELECT count(*) FROM import_runs") == [(0,)]


def test_psql_runs_on_the_target_and_gives_its_exit_code(configured: str) -> None:
    command = [sys.executable, "-m", "flows.cli", "psql", "--", "-At", "-c"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    counting = [*command, "SELECT count(*) FROM analytics_events"]
    assert subprocess.check_output(counting, text=True, env=environment) == "0\n"
    wrong = subprocess.run([*command, "SELECT 1/0"], capture_output=True, text=True, env=environment, check=False)
    assert wrong.returncode == 1 and "division by zero" in wrong.stderr


def test_every_command_explains_itself() -> None:
    for words in commands_of(cli):
        result = call(*words, "--help")
        assert result.exit_code == 0 and result.stdout.startswith("Usage:"), words
        assert "  -h, --help" in result.stdout


def test_help_imports_nothing_that_takes_time() -> None:
    code = "import sys, flows.cli\ntry: flows.cli.cli(['--help'])\nfinally: print(*sys.modules, file=sys.stderr)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    slow = {"prefect", "great_expectations", "pandas", "numpy", "pyarrow", "pydantic", "psycopg", "msgspec", "psutil"}
    assert "Usage:" in ran.stdout and slow & {*ran.stderr.split()} == set()


def commands_of(group: click.Group, *words: str) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        yield (*words, name)
        if isinstance(command, click.Group):
            yield from commands_of(command, *words, name)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (GateError("the gate says no"), 1, "hindcast: the gate says no"),
        (KeyError("x\ny"), 1, "hindcast: unexpected KeyError: 'x\\ny'; run with --verbose for the traceback"),
        (
            KeyboardInterrupt(),
            130,
            "hindcast: interrupted; what is committed stays, the same command goes on from there",
        ),
    ],
)
def test_any_error_is_one_line_and_an_exit_code(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended, fail(is_verbose=False):
        raise error
    assert ended.value.code == code
    assert capsys.readouterr().err == f"{line}\n"


def test_verbose_adds_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), fail(is_verbose=True):
        raise KeyError("x")
    assert capsys.readouterr().err.startswith("Traceback (most recent call last):")


def test_verbose_lists_every_reject_and_json_is_one_object(
    configured: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    findings = begin(Request(file="history.jsonl"), is_dry_run=True)
    export = write_export(tmp_path / "history.jsonl", [*map(make_event, range(3)), "not json", '{"event_type": "x"}'])
    findings.plan, findings.folder, findings.manifest = stage(export)
    report: dict[str, Any] = close_run(findings, None, None, load_settings())
    show_report(Path(report["report_path"]), is_json=False, is_verbose=True)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[1] for line in lines[:2]] == ["malformed_json", "missing_time"]
    show_report(Path(report["report_path"]), is_json=True, is_verbose=True)
    assert json.loads(capsys.readouterr().out) == report


def test_on_a_pipe_each_step_is_a_line_when_it_begins_and_when_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress(is_json=False):
        for done in (0, 1, 2, 2):
            tell("load", done, 2)
    assert capsys.readouterr().err == "loading ...\nloading: done\n"
    with show_progress(is_json=True):
        tell("load", 0, 2)
    assert capsys.readouterr().err == ""
