"""Who may write: one at a time, named to whoever comes second, and free again when its process dies."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from loading import begin, make_event, query, write_export

import hindcast.writer_lock
from hindcast.errors import TargetError, TransientError
from hindcast.settings import load_settings
from hindcast.writer_lock import hold_target

pytest_plugins = ["loading_fixtures"]

HOLD = (
    "import sys; from hindcast.settings import load_settings; from hindcast.writer_lock import hold_target\n"
    "with hold_target(sys.argv[1], load_settings()) as lock:\n"
    "    lock.tell('rollback', sys.argv[2]); print('held', flush=True); sys.stdin.read()"
)
HELD_BY = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"


def refusal(target: str, wait_minutes: float = 0) -> str:
    with pytest.raises(TargetError) as raised:
        hold_target(target, load_settings(), wait_minutes).__enter__()
    return str(raised.value)


def wait_for(is_true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not is_true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_a_second_writer_is_told_which_run_holds_the_target(target: str, tmp_path: Path) -> None:
    begun = begin(target, write_export(tmp_path / "export.jsonl", [make_event(0)]), dataset="spring")
    begin(target, write_export(tmp_path / "other.jsonl", [make_event(1)]), dataset="not-at-work")
    with hold_target(target, load_settings()) as lock:
        lock.tell("backfill", begun.run.run_id)
        told = refusal(target)
    assert f"run {begun.run.run_id} (spring, by ab, started " in told
    assert " UTC, session " in told and told.endswith("is writing; wait for it or stop it")
    with hold_target(target, load_settings()):
        pass


def test_a_holder_that_has_no_run_yet_is_told_as_that(target: str, tmp_path: Path) -> None:
    begin(target, write_export(tmp_path / "export.jsonl", [make_event(0)]))
    with hold_target(target, load_settings()):
        assert "another hindcast is preparing to write (session " in refusal(target)


def test_a_rollback_of_another_process_is_named_and_killing_it_frees_the_target(target: str) -> None:
    rollback = str(uuid4())
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, target, rollback], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdin and holder.stdout
    try:
        assert holder.stdout.readline() == b"held\n"
        assert f"rollback {rollback} (session " in refusal(target)
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        with hold_target(target, load_settings(), wait_minutes=0.3):
            pass
    finally:
        holder.kill()
        holder.stdin.close()
        holder.stdout.close()


def test_a_writer_in_another_database_does_not_matter(target: str, empty_database: str) -> None:
    with hold_target(empty_database, load_settings()), hold_target(target, load_settings()):
        pass


def test_who_waits_gets_the_target_when_it_is_free(target: str, caplog: pytest.LogCaptureFixture) -> None:
    first = hold_target(target, load_settings())
    first.__enter__().tell("rollback", uuid4())
    threading.Timer(0.5, first.__exit__, (None, None, None)).start()
    with hold_target(target, load_settings(), wait_minutes=1):
        pass
    assert "waiting, 1 minutes at most: rollback" in caplog.text


def test_who_has_waited_in_vain_is_refused(target: str) -> None:
    with hold_target(target, load_settings()):
        assert refusal(target, wait_minutes=0.002).endswith("waited 0.002 minutes for it; try later")


def test_a_lock_whose_connection_broke_is_taken_again(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hindcast.writer_lock, "_LOOK_SECONDS", 0.02)
    with hold_target(target, load_settings()) as lock:
        lock.tell("backfill", uuid4())
        ((pid,),) = query(target, HELD_BY)
        query(target, "SELECT pg_terminate_backend(%s, 5000)", pid)
        wait_for(lambda: query(target, HELD_BY))
        assert "run " in refusal(target)


def test_a_lock_that_another_took_meanwhile_is_told_and_stops_the_writing(
    target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hindcast.writer_lock, "_LOOK_SECONDS", 0.3)
    stopped = threading.Event()
    with psycopg.connect(target, autocommit=True) as other:

        def lose() -> None:
            with hold_target(target, load_settings(), on_lost=stopped.set):
                ((pid,),) = query(target, HELD_BY)
                query(target, "SELECT pg_terminate_backend(%s, 5000)", pid)
                other.execute("SELECT pg_advisory_lock(%s)", (hindcast.writer_lock.WRITER_LOCK,))
                assert stopped.wait(20)

        with pytest.raises(TransientError, match=r"was lost, and now .*; run again to go on"):
            lose()
