"""The command as people and scripts run it: exit codes, one line an error, JSON alone on stdout."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from flow_runs import SAMPLE
from loading import count_events, make_event, query, write_export

from flows.cli import cli

pytest_plugins = ["flow_fixtures", "loading_fixtures"]
pytestmark = pytest.mark.flow


def hindcast(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command as a process of its own."""
    command = [sys.executable, "-m", "flows.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))


def call(*arguments: str) -> Result:
    """Run the command in this process, which has Prefect imported already."""
    return CliRunner().invoke(cli, arguments)


def test_a_failing_gate_ends_with_1_one_line_on_stderr_and_one_object_on_stdout(database: str, tmp_path: Path) -> None:
    export = write_export(tmp_path / "history.jsonl", [*map(make_event, range(3)), "not json"])
    done = hindcast("backfill", "-f", str(export), "--json", "--operator", "xy")
    assert done.returncode == 1
    assert done.stderr.startswith("hindcast: gate export: 1 of ") and done.stderr.count("\n") == 1
    report = json.loads(done.stdout)
    assert (report["status"], report["rejected"], report["operator"]) == ("failed", 1, "xy")
    assert count_events(database) == 0


def test_an_option_the_format_does_not_have_is_a_usage_error(database: str) -> None:
    done = call("backfill", "-f", str(SAMPLE), "--dry-run", "--option", "nope=true")
    assert done.exit_code == 2
    sentence = "hindcast: option 'nope': this format has no such option; known: scrub_pii"
    assert done.stderr.splitlines()[-1] == sentence


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("verify", "--run", "zzz"), "hindcast: --run: String should match pattern "),
        (("rollback", "--run", "zz", "--apply"), "hindcast: --run: String should match pattern "),
        (("backfill", "-f", str(SAMPLE), "--dataset", "a/b"), "hindcast: --dataset: String should match pattern "),
    ],
)
def test_what_a_form_would_refuse_is_a_usage_error(database: str, arguments: tuple[str, ...], said: str) -> None:
    result = call(*arguments)
    assert (result.exit_code, result.stderr.startswith(said)) == (2, True), result.stderr
    assert result.stderr.endswith(" (see --help)\n")


def test_verify_and_rollup_follow_a_backfill(database: str) -> None:
    assert call("backfill", "-f", str(SAMPLE)).exit_code == 0
    rolled = call("rollup", "--once", "--window", "2024-07-01..2024-08-01")
    assert rolled.exit_code == 0
    assert "daily_events: 2 rows in 1 days, equal to the raw rows" in rolled.stdout
    query(database, "DELETE FROM analytics_events WHERE export_line = 2")
    run = json.loads(call("runs", "--json").stdout)["run_id"]
    verified = call("verify", "--run", run)
    assert verified.exit_code == 1
    assert "analytics-history-sample.jsonl line 2 field (row): export 'present', table 'missing'" in verified.stderr
