"""Runs that end in the middle, and go on."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from flow_runs import backfill, wait_until
from loading import count_events, make_event, query, write_export

pytest_plugins = ["flow_fixtures", "loading_fixtures"]
pytestmark = pytest.mark.flow

# A fault of the moment for every event of February: the database's own words for it.
FAULT = """
CREATE FUNCTION fail_once() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'try later' USING ERRCODE = 'serialization_failure'; END $$;
CREATE TRIGGER fault BEFORE INSERT ON analytics_events FOR EACH ROW
WHEN (NEW.created_at >= '2024-02-01T00:00:00Z') EXECUTE FUNCTION fail_once()
"""
SLOW = """
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.05); RETURN NEW; END $$;
CREATE TRIGGER slow BEFORE INSERT ON import_chunks FOR EACH ROW EXECUTE FUNCTION wait()
"""


def test_a_run_interrupted_in_the_load_goes_on_under_its_id(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.load import load_chunks

    monkeypatch.setattr(load_chunks, "retries", 1)
    monkeypatch.setattr(load_chunks, "retry_delay_seconds", [0])
    query(database, FAULT)
    export = write_export(tmp_path / "history.jsonl", map(make_event, range(120)))  # 60 of January, 60 of February
    first = backfill(export, chunk=20)
    assert (first.exit_code, first.report["status"], first.report["loaded"]) == (1, "interrupted", 60)
    assert query(database, "SELECT status, finished_at FROM import_runs") == [("interrupted", None)]
    query(database, "DROP TRIGGER fault ON analytics_events")
    second = backfill(export, chunk=20).report
    assert (second["run_id"], second["attempts"], second["status"]) == (first.report["run_id"], 2, "succeeded")
    assert (second["loaded"], second["duplicate"], count_events(database)) == (120, 0, 120)
    assert second["table"]["rows_before"] == 0  # the first attempt's rows are this run's
    assert query(database, "SELECT status, attempts FROM import_runs") == [("succeeded", 2)]


def test_a_killed_command_goes_on_where_it_stopped(database: str, tmp_path: Path) -> None:
    export = write_export(tmp_path / "history.jsonl", map(make_event, range(1200)))
    query(database, SLOW)
    command = [sys.executable, "-m", "flows.cli", "backfill", "-f", str(export), "--chunk", "10"]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        wait_until(lambda: query(database, "SELECT count(*) FROM import_chunks")[0][0] > 3)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    there = count_events(database)
    assert 0 < there < 1200
    query(database, "DROP TRIGGER slow ON import_chunks")
    report = backfill(export, chunk=10).report
    assert (report["attempts"], report["loaded"], report["duplicate"]) == (2, 1200, 0)
    assert (report["verification"]["status"], count_events(database)) == ("passed", 1200)
