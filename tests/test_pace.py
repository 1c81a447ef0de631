"""The bucket that worker processes draw from."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import hindcast.pace
from hindcast.pace import STALE_SECONDS, Pace


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        monkeypatch.setattr(hindcast.pace.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(hindcast.pace.time, "time", lambda: self.now)
        monkeypatch.setattr(hindcast.pace.time, "sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        assert 0 < seconds <= 0.2
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_without_a_limit_nobody_waits(tmp_path: Path, clock: Clock) -> None:
    pace = Pace.create(tmp_path / "pace")
    assert all(pace.wait(10_000, 5_000_000) for _ in range(100))
    assert clock.now == 1_000 and pace.taken() == (1_000_000, 500_000_000)


def test_rows_come_at_the_rate_and_no_faster(tmp_path: Path, clock: Clock) -> None:
    pace = Pace.create(tmp_path / "pace", ceiling_rows=2_000)
    for _ in range(11):
        assert pace.wait(1_000, 1)
    assert clock.now - 1_000 == pytest.approx(5, abs=0.01)


def test_wide_records_are_slowed_by_their_bytes(tmp_path: Path, clock: Clock) -> None:
    pace = Pace.create(tmp_path / "pace", ceiling_rows=1_000_000, ceiling_bytes=1_000)
    for _ in range(3):
        pace.wait(1, 2_000)
    assert clock.now - 1_000 == pytest.approx(4, abs=0.01)


def test_a_host_whose_clock_is_behind_makes_nobody_faster_nor_wait_for_long(tmp_path: Path, clock: Clock) -> None:
    pace = Pace.create(tmp_path / "pace", ceiling_rows=1_000)
    for number in range(10):
        clock.now += 0.5 if number % 2 else -0.5  # now this one's clock, now the other's
        pace.wait(1_000, 1)
    assert clock.now - 1_000 == pytest.approx(9, abs=1)


def test_time_in_which_nothing_was_sent_is_not_saved_up(tmp_path: Path, clock: Clock) -> None:
    pace = Pace.create(tmp_path / "pace", ceiling_rows=1_000)
    pace.wait(1_000, 1)
    clock.now += 20
    pace.wait(1_000, 1)
    pace.wait(1_000, 1)
    assert clock.now - 1_020 == pytest.approx(1, abs=0.01)


def test_a_deadline_ends_the_wait(tmp_path: Path, clock: Clock) -> None:
    pace = Pace.create(tmp_path / "pace")
    pace.set(0)
    assert not pace.wait(1, 1, not_after=1_003)
    assert clock.now == pytest.approx(1_003) and pace.taken() == (0, 0)


def test_after_the_deadline_nothing_begins_however_fast_it_goes(tmp_path: Path, clock: Clock) -> None:
    assert not Pace.create(tmp_path / "pace").wait(1, 1, not_after=999)


def test_who_waits_sees_a_changed_pace(tmp_path: Path) -> None:
    pace = Pace.create(tmp_path / "pace")
    pace.set(0)
    threading.Timer(0.3, pace.set, (1_000_000,)).start()
    began = time.monotonic()
    assert pace.wait(10, 10)
    assert 0.25 < time.monotonic() - began < 5


def test_a_governor_that_is_gone_holds_nobody(tmp_path: Path, clock: Clock) -> None:
    pace = Pace.create(tmp_path / "pace")
    pace.set(0)
    assert pace.wait(1, 1)
    assert clock.now - 1_000 == pytest.approx(STALE_SECONDS, abs=0.5)


def test_without_a_file_nobody_waits(tmp_path: Path) -> None:
    assert Pace(tmp_path / "none").wait(1, 1)


def test_several_processes_together_keep_the_rate(tmp_path: Path) -> None:
    pace = Pace.create(tmp_path / "pace", ceiling_rows=1_000)
    code = "import sys, pathlib; from hindcast.pace import Pace; p = Pace(pathlib.Path(sys.argv[1]))\n"
    code += "for _ in range(5): p.wait(100, 1)"
    began = time.monotonic()
    workers = [subprocess.Popen([sys.executable, "-c", code, str(pace.path)]) for _ in range(3)]
    assert [worker.wait(30) for worker in workers] == [0, 0, 0]
    assert time.monotonic() - began > 1.35
    assert pace.taken()[0] == 1_500
