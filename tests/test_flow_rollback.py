"""Rollback and restore through Prefect: from the shell, and from a deployment that asks a person first."""

import contextvars
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flow_runs import backfill, wait_until
from loading import count_events, make_event, query, write_export
from undoing import begin_rollback, table_digest

from flows.cli import cli
from hindcast.settings import load_settings
from hindcast.writer_lock import hold_target

pytest_plugins = ["flow_fixtures", "loading_fixtures"]
pytestmark = pytest.mark.flow

RETIRED = "SELECT relname FROM pg_class WHERE relname LIKE 'hindcast_retired%'"


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def import_events(folder: Path, name: str, numbers: range) -> str:
    report = backfill(write_export(folder / f"{name}.jsonl", map(make_event, numbers)), dataset=name).report
    return str(report["run_id"])


def test_a_run_is_rolled_back_and_restored_by_the_commands_the_report_and_the_preview_name(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HINDCAST_PRUNE_CHUNK_ROWS", "5")  # so that its months are worth replacing
    report = backfill(write_export(tmp_path / "h.jsonl", map(make_event, range(80)))).report
    before = table_digest(database)
    words = report["undo"].split()[1:]
    done = call(*words, "--json", "--operator", "xy")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["status"], found["deleted"], found["live_rows_kept"]) == ("rolled_back", 80, 0)
    assert found["verification"]["status"] == "passed" and len(found["preview"]) == 4
    assert {rollup["differing"] + rollup["missing"] for rollup in found["rollups"]} == {0}
    assert query(database, "SELECT count(*) FROM analytics_events, daily_events") == [(0,)]
    assert query(database, "SELECT status, operator FROM import_archives") == [("deleted", "xy")]
    assert query(database, "SELECT DISTINCT state FROM import_prune_months") == [("dropped",)]
    assert query(database, RETIRED) == []
    query(database, "CREATE TABLE hindcast_retired_2024_01_1 ()")  # as a kill leaves it, just before its end
    query(database, "COMMENT ON TABLE hindcast_retired_2024_01_1 IS 'rows that were rolled back: archive 1 holds them'")
    with hold_target(database, load_settings()):  # it may be of who writes now
        assert (call(*words).exit_code, len(query(database, RETIRED))) == (0, 1)
    again = json.loads(call(*words, "--json").stdout)
    assert (again["status"], again["deleted"], query(database, RETIRED)) == ("nothing_selected", 0, [])
    restored = call("restore", found["archive"][:8])
    assert restored.exit_code == 0 and restored.stdout.startswith("RESTORED: 80 rows put back, 0 there already, passed")
    assert table_digest(database) == before
    second = json.loads(call("restore", found["archive"], "--json").stdout)
    assert (second["status"], second["restored"]) == ("restored", 0)
    assert backfill(tmp_path / "h.jsonl").report["loaded"] == 0


def test_a_later_run_must_be_allowed_for_and_what_is_gone_loads_again(database: str, tmp_path: Path) -> None:
    first = import_events(tmp_path, "first", range(40))
    second = import_events(tmp_path, "second", range(20, 60))
    refused = call("rollback", "--run", first, "--apply")
    assert refused.exit_code == 2 and f"run {second} (second): " in refused.stderr
    assert count_events(database) == 60
    allowed = call("rollback", "--run", first, "--apply", "--allow-overlap")
    assert allowed.exit_code == 0 and allowed.stdout.startswith("ROLLED BACK: 40 rows deleted, passed verification")
    report = backfill(tmp_path / "first.jsonl", dataset="first").report
    assert (report["loaded"], report["run_id"] == first, count_events(database)) == (40, False, 60)


def test_a_rollback_waits_for_no_other_writer(database: str, tmp_path: Path) -> None:
    run = import_events(tmp_path, "first", range(10))
    archive = begin_rollback(database, run=run)
    with hold_target(database, load_settings()) as lock:
        lock.tell("rollback", archive.archive_id)
        refused = call("rollback", "--run", run, "--apply")
    assert refused.exit_code == 1
    assert str(archive.archive_id) in refused.stderr and "wait for it or stop it" in refused.stderr
    assert count_events(database) == 10


class Asked(threading.Thread):
    """The flow as a deployment runs it in apply mode, in a thread, until somebody answers."""

    def __init__(self, run: str) -> None:
        super().__init__(daemon=True)
        self._run, self.result, self.error = run, {}, ""
        self.flow_run: Any = None
        self._context = contextvars.copy_context()  # or Prefect's settings are those at its import: no server
        self.start()

    def run(self) -> None:
        self._context.run(self._roll_back)

    def _roll_back(self) -> None:
        from flows.rollback import rollback
        from hindcast.errors import HindcastError

        try:
            self.result = rollback(run=self._run, mode="apply")
        except HindcastError as error:
            self.error = str(error)

    def answer(self, rows: int) -> None:
        """Resume the paused flow run with what a person types, as the UI does."""
        from prefect.client.orchestration import get_client

        with get_client(sync_client=True) as client:
            deadline, paused = time.monotonic() + 60, []
            while not paused:
                assert time.monotonic() < deadline and self.is_alive(), self.error
                time.sleep(0.2)
                paused = read_paused(client)
            self.flow_run = paused[0].id
            client.resume_flow_run(self.flow_run, run_input={"rows_to_delete": rows})
        self.join(120)


def read_paused(client: Any) -> list[Any]:
    """The flow runs that wait for a person; of all there are, the server would show the first 200."""
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
    from prefect.client.schemas.objects import StateType

    paused = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED]))
    found: list[Any] = client.read_flow_runs(flow_run_filter=FlowRunFilter(state=paused))
    return found


def test_from_a_deployment_a_person_confirms_the_rows_of_the_preview(database: str, tmp_path: Path) -> None:
    run = import_events(tmp_path, "first", range(10))
    wrong = Asked(run)
    wrong.answer(9)
    assert "rows to delete: 9 were typed, the preview says 10" in wrong.error
    assert count_events(database) == 10
    right = Asked(run)
    right.answer(10)
    assert (right.error, right.result.get("deleted"), count_events(database)) == ("", 10, 0)
    keys = {"rollback-preview", "rollback-proof"}
    wait_until(lambda: keys <= artifact_keys(right.flow_run))


def test_a_confirmation_does_not_hold_for_rows_that_changed_meanwhile(database: str, tmp_path: Path) -> None:
    run = import_events(tmp_path, "first", range(10))
    asked = Asked(run)

    def change_first() -> None:
        query(database, "UPDATE analytics_events SET user_id = 'edited' WHERE export_line = 3")
        asked.answer(10)

    wait_until(lambda: bool(query(database, "SELECT 1")) and has_paused())
    change_first()
    assert "changed since the preview was confirmed" in asked.error
    assert count_events(database) == 10
    assert query(database, "SELECT status FROM import_archives") == [("failed",)]


def has_paused() -> bool:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return bool(read_paused(client))


def artifact_keys(flow_run: Any) -> set[str | None]:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    with get_client(sync_client=True) as client:
        only = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run]))
        return {artifact.key for artifact in client.read_artifacts(flow_run_filter=only)}
