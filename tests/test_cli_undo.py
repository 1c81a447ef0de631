"""The commands that undo, as far as they need no Prefect."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from loading import Import, count_events, load, make_event, query, write_export
from undoing import JANUARY, roll_back

from flows.cli import cli

pytest_plugins = ["loading_fixtures"]


@pytest.fixture
def loaded(configured: str, tmp_path: Path) -> Import:
    return load(configured, write_export(tmp_path / "h.jsonl", map(make_event, range(80))))


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def test_rollback_shows_a_preview_and_changes_nothing(configured: str, loaded: Import) -> None:
    result = call("rollback", "--run", str(loaded.run.run_id)[:8])
    assert result.exit_code == 0
    assert result.stdout.startswith(f"PREVIEW: run {str(loaded.run.run_id)[:8]}: 80 rows would go; nothing was changed")
    assert result.stdout.endswith(f"apply    hindcast rollback --run {loaded.run.run_id} --apply\n")
    assert count_events(configured) == 80 and query(configured, "SELECT 1 FROM import_archives") == []


def test_a_preview_as_json_is_one_object(configured: str, loaded: Import) -> None:
    found = json.loads(call("rollback", "--window", JANUARY, "--event-type", "lesson_started", "--json").stdout)
    assert found["preview"] == [{"month": "2024-01", "event_type": "lesson_started", "rows": 30}]
    keys = {"status", "preview", "deleted", "archive", "live_rows_kept", "rollups", "verification"}
    assert keys <= found.keys() and found["status"] == "preview"


def test_nothing_selected_is_told(configured: str) -> None:
    result = call("rollback", "--window", JANUARY)
    assert result.exit_code == 0 and "no rows are selected" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "nothing is selected"),
        (("--apply",), "nothing is selected"),
        (("--window", "2024-01-01.."), "expected both ends"),
        (("--run", "nothing"), "run 'nothing': no such run"),
        (("--run", "1a", "--include-live", "--apply"), "rows of the live platform belong to no run"),
    ],
)
def test_wrong_usage_ends_with_2(configured: str, arguments: tuple[str, ...], sentence: str) -> None:
    result = call("rollback", *arguments)
    assert result.exit_code == 2 and sentence in result.stderr and not result.stdout


@pytest.mark.parametrize("command", [("rollback", "--window", JANUARY), ("archives",)])
def test_a_database_that_cannot_be_reached_is_an_error_also_for_a_preview(
    configured: str, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://somebody:secret@127.0.0.1:1/nothing")
    result = call(*command, "--json")
    assert result.exit_code == 1 and not result.stdout
    assert result.stderr.startswith("hindcast: database 127.0.0.1:1/nothing: ") and "secret" not in result.stderr


def test_archives_are_listed_newest_first(configured: str, loaded: Import) -> None:
    assert call("archives").stdout == "no archives yet\n"
    roll_back(configured, window=JANUARY)
    report = roll_back(configured, run=loaded.run.run_id)
    lines = call("archives").stdout.splitlines()
    assert len(lines) == 2 and lines[0].startswith(report["archive"])
    assert " deleted " in lines[0] and f"run {str(loaded.run.run_id)[:8]}" in lines[0]
    assert json.loads(call("archives", "--json", "--limit", "1").stdout)["rows"] == 20
