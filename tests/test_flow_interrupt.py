"""Ctrl-C at the shell: the whole process group gets it, and the command leaves, with its run closed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from flow_runs import wait_until
from loading import make_event, query, write_export

from flows.environment import owned_processes

pytest_plugins = ["flow_fixtures", "loading_fixtures"]
pytestmark = pytest.mark.flow

SLOW = """
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.3); RETURN NEW; END $$;
CREATE TRIGGER slow BEFORE INSERT ON import_chunks FOR EACH ROW EXECUTE FUNCTION wait()
"""


def test_ctrl_c_leaves_within_seconds_with_the_run_interrupted_and_no_process_left(
    database: str, tmp_path: Path
) -> None:
    export = write_export(tmp_path / "history.jsonl", map(make_event, range(1200)))
    query(database, SLOW)
    # As a newcomer has it: no server configured.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    command = [sys.executable, "-m", "flows.cli", "backfill", "-f", str(export), "--chunk", "10"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment, process_group=0, text=True)
    try:
        wait_until(lambda: query(database, "SELECT count(*) FROM import_chunks")[0][0] > 2)
        began = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
        seconds = time.monotonic() - began
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, said.splitlines()[-1]) == (
        130,
        "hindcast: interrupted; what is committed stays, the same command goes on from there",
    )
    assert seconds < 30  # 8, and what a busy machine needs; a minute and more, when Prefect asks for its server
    assert query(database, "SELECT status, attempts FROM import_runs") == [("interrupted", 1)]
    home = str(tmp_path / "home" / "prefect")
    assert not owned_processes(home, process.pid)
