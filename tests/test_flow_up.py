"""`hindcast up` as a person runs it: one command brings everything, and takes everything away again."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from flow_runs import SAMPLE, wait_until
from loading import make_event, query, write_export

from flows.environment import owned_processes
from hindcast.sockets import find_free_port

pytest_plugins = ["loading_fixtures"]
pytestmark = [pytest.mark.flow, pytest.mark.timeout(400)]

PROJECT = Path(__file__).parents[1]
SLOW = """
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.3); RETURN NEW; END $$;
CREATE TRIGGER slow BEFORE INSERT ON import_chunks FOR EACH ROW EXECUTE FUNCTION wait()
"""


class Up:
    """A running `hindcast up`, and its API."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.port = find_free_port()
        self.folder, self.environment = folder, environment
        self.out = folder / "up.out"
        command = [sys.executable, "-m", "flows.cli", "up", "--port", str(self.port)]
        with self.out.open("wb") as out:
            self.process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=out)

    def await_ready(self) -> None:
        wait_until(lambda: "Ctrl-C stops" in self.out.read_text() or self.process.poll() is not None)
        assert self.process.poll() is None, self.out.read_text()

    def ask(self, path: str, **body: Any) -> Any:
        while True:
            answer = httpx.post(f"http://127.0.0.1:{self.port}/api/{path}", json=body, timeout=20)
            if answer.status_code != 503:  # its SQLite is locked; Prefect's own client asks again too
                assert answer.status_code < 400, answer.text
                return answer.json()
            time.sleep(0.2)

    def read(self, path: str) -> Any:
        return httpx.get(f"http://127.0.0.1:{self.port}/api/{path}", timeout=20).json()

    def run(self, deployment: str, **parameters: Any) -> str:
        found = self.read(f"deployments/name/{deployment}")
        return str(self.ask(f"deployments/{found['id']}/create_flow_run", parameters=parameters)["id"])

    def state(self, run: str) -> str:
        return str(self.read(f"flow_runs/{run}")["state"]["name"])

    def call(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Another `hindcast` command in the same home."""
        command = [sys.executable, "-m", "flows.cli", *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(90)

    @property
    def left(self) -> list[Any]:
        return owned_processes(str(self.folder / "home" / "prefect"), self.process.pid)


@contextmanager
def running(folder: Path) -> Iterator[Up]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    up = Up(folder, environment | {"PYTHONPATH": str(PROJECT), "HINDCAST_HOME": "home"})
    try:
        up.await_ready()
        yield up
    finally:
        sys.stdout.write(up.out.read_text())  # shown when the test fails
        if up.process.poll() is None:
            up.process.terminate()
            up.process.wait(90)


def test_it_brings_all_and_leaves_no_process_while_runs_are_cancelled_and_go_on(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", target)
    with running(tmp_path) as up:
        look_at_what_is_there(up)
        run_the_sample(up)
        cancel_a_run_and_let_it_go_on(up, target, tmp_path)  # a run is under way when it is stopped
        assert len(up.left) > 1
        began = time.monotonic()
        up.stop()
        assert time.monotonic() - began < 40
        assert (up.process.returncode, up.left) == (0, [])
        assert "stopped" in up.out.read_text().splitlines()[-1]
    ((run, *ended),) = query(
        target, "SELECT run_id, status, attempts FROM import_runs WHERE export LIKE '%/history.jsonl'"
    )
    assert ended == ["interrupted", 2]
    assert (tmp_path / "home" / "reports" / str(run) / "report.html").exists()


def look_at_what_is_there(up: Up) -> None:
    assert httpx.get(f"http://127.0.0.1:{up.port}/", follow_redirects=True).status_code == 200
    names = {found["name"] for found in up.ask("deployments/filter")}
    assert names == {"nightly", "manual", "dry-run", "hourly"}
    assert [pool["name"] for pool in up.ask("work_pools/filter")] == ["hindcast"]
    assert len(up.ask("automations/filter")) == 1
    again = up.call("up", "--port", str(find_free_port()))
    assert (again.returncode, "it is up already" in again.stderr) == (2, True)


def run_the_sample(up: Up) -> None:
    checked = up.run("validate-export/dry-run", file=str(SAMPLE))
    wait_until(lambda: up.state(checked) in ("Completed", "Failed", "Crashed"))
    assert up.state(checked) == "Completed"
    kinds = {artifact["key"]: artifact["type"] for artifact in up.ask("artifacts/latest/filter")}
    assert (kinds["gate-export"], kinds["report"]) == ("table", "markdown")
    wait_until(lambda: "hindcast.run.succeeded" in event_names(up))
    command = up.call("backfill", "-f", str(SAMPLE), "--json")
    assert json.loads(command.stdout)["loaded"] == 3
    assert "backfill analytics-history-sample.jsonl" in {run["name"] for run in up.ask("flow_runs/filter")}


def cancel_a_run_and_let_it_go_on(up: Up, target: str, folder: Path) -> None:
    status = "SELECT status FROM import_runs WHERE export LIKE '%/history.jsonl'"
    export = write_export(folder / "history.jsonl", map(make_event, range(1200)))
    query(target, SLOW)
    cancelled = start_and_await_chunks(up, target, export, 3)
    up.ask(f"flow_runs/{cancelled}/set_state", state={"type": "CANCELLING"})
    wait_until(lambda: up.state(cancelled) == "Cancelled")
    wait_until(lambda: query(target, status) == [("interrupted",)])
    there = query(target, "SELECT count(*) FROM import_chunks")[0][0]
    start_and_await_chunks(up, target, export, there + 2)  # the lock was free


def start_and_await_chunks(up: Up, target: str, export: Path, chunks: int) -> str:
    run = up.run("backfill/manual", file=str(export), chunk=10)
    wait_until(lambda: query(target, "SELECT count(*) FROM import_chunks")[0][0] >= chunks)
    return run


def event_names(up: Up) -> set[str]:
    found = up.ask("events/filter", filter={"event": {"prefix": ["hindcast."]}}, limit=50)
    return {event["event"] for event in found["events"]}


def test_a_taken_port_is_said_so(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "flows.cli", "up", "--port", port]
        environment = os.environ | {"PYTHONPATH": str(PROJECT), "HINDCAST_HOME": str(tmp_path)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.startswith(f"hindcast: port {port}: cannot be used")) == (2, True)
