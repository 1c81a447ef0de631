"""The governor at a real database: what it decides, records and leaves alone."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from loading import begin, count_events, make_event, query, write_export

import hindcast.governor
from hindcast.governor import FixedPace, Governor
from hindcast.governor import govern as govern_run
from hindcast.load import load_chunks
from hindcast.pace import Pace
from hindcast.settings import Settings, load_settings

pytest_plugins = ["loading_fixtures"]

RUN = uuid4()


class Broken:
    """A signal whose value a test sets."""

    name, unit, limit = "broken", "ms", 10.0

    def __init__(self) -> None:
        self.value: float | None = 1.0
        self.error: Exception | None = None

    def measure(self, connection: psycopg.Connection) -> float | None:
        if self.error:
            raise self.error
        connection.execute("SELECT 1")
        return self.value


@pytest.fixture
def signal(monkeypatch: pytest.MonkeyPatch) -> Broken:
    """The only signal there is."""
    signal = Broken()
    monkeypatch.setattr(hindcast.governor, "watched_signals", lambda settings: [signal])
    return signal


def settings(**changes: Any) -> Settings:
    return load_settings().model_copy(update={"governor_sample_seconds": 0.02} | changes)


def govern(target: str, folder: Path, **changes: Any) -> AbstractContextManager[Governor | FixedPace]:
    return govern_run(target, settings(**changes), RUN, folder)


def wait_for(is_true: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 20
    while not is_true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def recorded(target: str) -> list[tuple[Any, ...]]:
    return query(
        target,
        "SELECT action, signal, value, limit_value, rows_per_second FROM import_governor WHERE run_id = %s"
        " ORDER BY decision_id",
        RUN,
    )


def test_with_nothing_wrong_the_load_is_free(target: str, tmp_path: Path) -> None:
    with govern(target, tmp_path) as governor:
        wait_for(lambda: governor.summary()["samples"] > 5)
        assert Pace(Path(str(governor.pace_path))).wait(10_000_000, 10**12)
        summary = governor.summary()
    assert recorded(target) == []  # first: it names the signal and its value
    assert summary["status"] == "on" and summary["decisions"] == 0 and not summary["failures"]
    assert {s["signal"]: s["status"] for s in summary["signals"]} == {
        "wal rate": "watched",
        "replication lag": "nothing to see",
        "replication backlog": "nothing to see",
        "blocked by us": "watched",
        "lock waits": "watched",
        "canary p95": "watched",
    }
    assert not list(tmp_path.glob("pace*"))


def test_a_broken_limit_holds_the_load_and_is_recorded(target: str, tmp_path: Path, signal: Broken) -> None:
    with govern(target, tmp_path) as governor:
        signal.value = 100.0
        wait_for(lambda: recorded(target))
        pace = Pace(Path(str(governor.pace_path)))
        assert not pace.wait(1, 1, not_after=time.time() + 0.1)
        signal.value = 1.0
        assert pace.wait(1, 1, not_after=time.time() + 20)
        wait_for(lambda: len(recorded(target)) > 1)
        summary = governor.summary()
    assert recorded(target)[0] == ("hold", "broken", 100, 10, 0)
    assert recorded(target)[1][:2] == ("raise", "broken")
    assert summary["actions"]["hold"] == 1 and summary["held_seconds"] >= 0.1
    assert summary["lowest_rows_per_second"] == 0
    assert summary["first_decisions"][0]["signal"] == "broken"
    assert summary["signals"][0]["highest"] == 100


def test_a_crossed_limit_halves_what_workers_take(target: str, tmp_path: Path, signal: Broken) -> None:
    with govern(target, tmp_path) as governor:
        pace = Pace(Path(str(governor.pace_path)))
        pace.wait(1_000_000, 10)
        signal.value = 12.0
        wait_for(lambda: recorded(target))
    action, *_, rate = recorded(target)[0]
    assert action == "slow" and rate > 100


def test_a_signal_that_may_not_ask_is_off_and_named_once(target: str, tmp_path: Path, signal: Broken) -> None:
    signal.error = psycopg.errors.InsufficientPrivilege("permission denied for view pg_stat_replication")
    with govern(target, tmp_path) as governor:
        wait_for(lambda: governor.summary()["samples"] > 5)
        summary = governor.summary()
    assert [row[:2] for row in recorded(target)] == [("off", "broken")]
    assert summary["signals"][0]["status"] == "off"
    assert "permission denied" in summary["signals"][0]["reason"]


def test_a_fault_of_its_own_leaves_the_load_alone_and_is_told(target: str, tmp_path: Path, signal: Broken) -> None:
    signal.error = ZeroDivisionError("oops")
    with govern(target, tmp_path) as governor:
        wait_for(lambda: governor.summary()["failures"])
        assert Pace(Path(str(governor.pace_path))).wait(1, 1)
        assert governor.summary()["failures"] == ["ZeroDivisionError: oops"]


def test_it_comes_back_after_the_connection_is_lost(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signal: Broken
) -> None:
    monkeypatch.setattr(hindcast.governor, "_RECONNECT_SECONDS", 0.05)
    with govern(target, tmp_path) as governor:
        query(
            target, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'hindcast'"
        )
        wait_for(lambda: governor.summary()["failures"])
        before = governor.summary()["samples"]
        wait_for(lambda: governor.summary()["samples"] > before + 2)


def test_without_a_database_the_load_goes_on(tmp_path: Path) -> None:
    with govern_run("postgresql://ada@127.0.0.1:1/events", settings(), RUN, tmp_path) as governor:
        assert Pace(Path(str(governor.pace_path))).wait(1, 1)
        assert governor.summary()["failures"]


def test_decisions_that_cannot_be_written_are_still_made(target: str, tmp_path: Path, signal: Broken) -> None:
    query(target, "DROP TABLE import_governor")
    with govern(target, tmp_path) as governor:
        signal.value = 100.0
        wait_for(lambda: governor.summary()["actions"].get("hold"))
        wait_for(lambda: governor.summary()["failures"])
        assert "not recorded" in governor.summary()["failures"][0]


def test_switched_off_it_asks_nothing_and_keeps_the_ceiling(target: str, tmp_path: Path) -> None:
    with govern(target, tmp_path, governor="off") as none:
        assert none.pace_path is None and none.summary()["status"] == "off"
    with govern(target, tmp_path, governor="off", max_rows_per_second=10.0) as fixed:
        pace = Pace(Path(str(fixed.pace_path)))
        assert pace.wait(100, 1)
        assert not pace.wait(1, 1, not_after=time.time() + 0.3)


def test_a_load_keeps_its_ceiling(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HINDCAST_CHUNK_SIZE", "10")
    begun = begin(target, write_export(tmp_path / "export.jsonl", [make_event(n) for n in range(60)]))
    with govern(target, tmp_path, max_rows_per_second=50.0) as governor:
        began = time.monotonic()
        task = begun.task()
        counts = load_chunks(type(task)(**vars(task) | {"pace": governor.pace_path}))
        assert time.monotonic() - began >= 0.9
    assert len(counts) == 6 and count_events(target) == 60


def test_no_chunk_begins_after_the_deadline(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HINDCAST_CHUNK_SIZE", "10")
    begun = begin(target, write_export(tmp_path / "export.jsonl", [make_event(n) for n in range(60)]))
    task = begun.task()
    assert load_chunks(type(task)(**vars(task) | {"not_after": time.time() - 1})) == []
    with govern(target, tmp_path, max_rows_per_second=20.0) as governor:
        late = {"pace": governor.pace_path, "not_after": time.time() + 0.7}
        counts = load_chunks(type(task)(**vars(task) | late))
    assert 1 <= len(counts) <= 2
    assert count_events(target) == 10 * len(counts)
    assert len(load_chunks(task)) == 6 and count_events(target) == 60
