"""The governor: watches the target while a load runs and sets its pace, so that the platform does not feel it.

One thread with one connection looks about once a second. It never fails a run: what it cannot ask it leaves out and
names in the report; without the database it leaves the workers to the ceiling.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf, isfinite
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg

from hindcast.database import connect
from hindcast.errors import TargetError
from hindcast.pace import Pace
from hindcast.settings import Settings
from hindcast.signals import Signal, watched_signals
from hindcast.throttle import Decision, Reading, Throttle

# The governor's own questions: one that takes longer is an answer, too.
QUESTION_TIMEOUT_MS: Final = 2_000
DECISIONS_KEPT: Final = 50
_THROUGHPUT_SECONDS: Final = 8.0
_RECONNECT_SECONDS: Final = 2.0
# Answers that will not change within a run.
_REFUSALS: Final = (
    psycopg.ProgrammingError,  # no privilege, no such table, column or function
    psycopg.NotSupportedError,
    psycopg.errors.ObjectNotInPrerequisiteState,  # such as WAL positions of a server in recovery
)
_INSERT: Final = (
    "INSERT INTO import_governor (run_id, decided_at, action, signal, value, limit_value, unit, rows_per_second,"
    " bytes_per_second, reason) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)


@dataclass
class _Seen:
    """What is told of a signal at the end."""

    signal: Signal
    highest: float | None = None
    times_crossed: int = 0
    refusal: str | None = None

    def summary(self) -> dict[str, Any]:
        baseline = getattr(self.signal, "baseline_ms", None)
        return {
            "signal": self.signal.name,
            "unit": self.signal.unit,
            "limit": round(self.signal.limit, 3),
            "highest": _round(self.highest),
            "samples_over_limit": self.times_crossed,
            "status": "off" if self.refusal else "watched" if self.highest is not None else "nothing to see",
            "reason": self.refusal,
        } | ({"baseline": _round(baseline)} if baseline is not None else {})


@dataclass
class _Story:
    """What is told of a load's pace at the end; seconds are of the clock on the wall."""

    decisions: list[dict[str, Any]] = field(default_factory=list)
    actions: dict[str, int] = field(default_factory=dict)
    held_seconds: float = 0.0
    slowed_seconds: float = 0.0
    lowest: float | None = None
    samples: int = 0
    asking_seconds: float = 0.0
    failures: list[str] = field(default_factory=list)


class Governor:
    """Watches one target for one run; `pace_path` goes to the workers. Use `govern`."""

    def __init__(self, url: str, settings: Settings, run_id: UUID, pace: Pace) -> None:
        self._url, self._run_id, self._pace = url, run_id, pace
        self._settings = settings.model_copy(
            update={"statement_timeout_ms": QUESTION_TIMEOUT_MS, "lock_timeout_ms": QUESTION_TIMEOUT_MS // 2}
        )
        self._seen = [_Seen(signal) for signal in watched_signals(settings)]
        self._throttle = Throttle(settings.governor_hold_seconds)
        self._story = _Story()
        self._taken: deque[tuple[float, float, float]] = deque()
        self._is_over = threading.Event()
        self._is_ready = threading.Event()
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._watch, name="governor", daemon=True)

    @property
    def pace_path(self) -> str:
        """The file a worker opens as its Pace."""
        return str(self._pace.path)

    def start(self) -> None:
        """Begin to watch; returns when the idle baselines are taken, or after a few seconds without them."""
        self._thread.start()
        self._is_ready.wait(5.0)

    def stop(self) -> None:
        """End; the thread is gone, or will be when its last question is answered."""
        self._is_over.set()
        self._thread.join(QUESTION_TIMEOUT_MS / 1000 * 2)

    def summary(self) -> dict[str, Any]:
        """What the report says: decisions, held seconds, lowest pace, every signal."""
        story, seconds = self._story, max(time.monotonic() - self._began, 0.001)
        return {
            "status": "on",
            "decisions": sum(story.actions.values()),
            "actions": dict(story.actions),
            "held_seconds": round(story.held_seconds, 1),
            "slowed_seconds": round(story.slowed_seconds, 1),
            "lowest_rows_per_second": story.lowest,
            "samples": story.samples,
            "asking_share": round(story.asking_seconds / seconds, 4),
            "signals": [seen.summary() for seen in self._seen],
            "first_decisions": list(story.decisions),
            "failures": list(story.failures),
            **_ceilings(self._settings),
        }

    def _watch(self) -> None:
        while not self._is_over.is_set():
            try:
                with connect(self._url, self._settings) as connection:
                    self._sample_until_over(connection)
            except TargetError as error:
                self._note_failure(str(error))
            except Exception as error:  # noqa: BLE001  # the governor's own fault must not fail the run: it is told
                self._note_failure(f"{type(error).__name__}: {error}")
                return
            finally:
                self._is_ready.set()
            self._is_over.wait(_RECONNECT_SECONDS)

    def _sample_until_over(self, connection: psycopg.Connection) -> None:
        last = time.monotonic()
        while not self._is_over.is_set():
            began = time.monotonic()
            self._count_time(began - last)
            last = began
            readings = self._read_signals(connection)
            self._decide(connection, readings)
            self._is_ready.set()
            asked = time.monotonic() - began
            self._story.samples += 1
            self._story.asking_seconds += asked
            self._is_over.wait(max(0.0, self._settings.governor_sample_seconds - asked))

    def _read_signals(self, connection: psycopg.Connection) -> list[Reading]:
        readings = []
        for seen in self._seen:
            if seen.refusal:
                continue
            signal = seen.signal
            try:
                value = signal.measure(connection)
            except _REFUSALS as error:
                seen.refusal = " ".join((error.diag.message_primary or str(error)).split())[:200]
                self._record(
                    connection, "off", Reading(signal.name, 0.0, signal.limit, signal.unit), None, seen.refusal
                )
                continue
            except psycopg.errors.QueryCanceled:
                continue  # too busy to say: the canary tells that better
            if value is None:
                continue
            seen.highest = value if seen.highest is None else max(seen.highest, value)
            seen.times_crossed += value > signal.limit
            is_rate = getattr(signal, "is_rate", False)
            readings.append(Reading(signal.name, value, signal.limit, signal.unit, is_rate))
        return readings

    def _decide(self, connection: psycopg.Connection, readings: list[Reading]) -> None:
        rows, size = self._throughput()
        decision = self._throttle.decide(readings, rows, time.monotonic())
        rate = self._throttle.rate
        # Wide records are slowed by their bytes: so many rows of the width of late.
        self._pace.set(rate, rate * size / rows if rows and size and 0 < rate < inf else inf)
        if decision:
            self._note(decision)
            self._record(connection, decision.action, decision.reading, decision.rows_per_second, None)

    def _throughput(self) -> tuple[float, float]:
        """Rows and bytes a second that workers took over the last seconds."""
        now = time.monotonic()
        self._taken.append((now, *self._pace.taken()))
        while len(self._taken) > 2 and now - self._taken[1][0] >= _THROUGHPUT_SECONDS:
            self._taken.popleft()
        (began, *first), (ended, *last) = self._taken[0], self._taken[-1]
        seconds = ended - began
        if not seconds:
            return 0.0, 0.0
        return (last[0] - first[0]) / seconds, (last[1] - first[1]) / seconds

    def _count_time(self, seconds: float) -> None:
        if self._throttle.rate == 0:
            self._story.held_seconds += seconds
        elif isfinite(self._throttle.rate):
            self._story.slowed_seconds += seconds

    def _note(self, decision: Decision) -> None:
        story, rate = self._story, decision.rows_per_second
        if rate is not None:
            story.lowest = round(rate if story.lowest is None else min(story.lowest, rate), 1)

    def _record(
        self, connection: psycopg.Connection, action: str, reading: Reading, rate: float | None, reason: str | None
    ) -> None:
        now, story = datetime.now(UTC), self._story
        story.actions[action] = story.actions.get(action, 0) + 1
        if len(story.decisions) < DECISIONS_KEPT:
            told = {"action": action, "signal": reading.signal, "value": _round(reading.value)}
            told |= {"limit": _round(reading.limit), "unit": reading.unit, "rows_per_second": _round(rate)}
            story.decisions.append({"decided_at": now.isoformat(timespec="milliseconds"), **told, "reason": reason})
        try:
            value, limit = (None, reading.limit) if reason else (reading.value, reading.limit)
            rows, size = self._throughput()
            size_rate = rate * size / rows if rate and rows else None
            place = (self._run_id, now, action, reading.signal)
            connection.execute(_INSERT, (*place, value, limit, reading.unit, rate, size_rate, reason))
        except (psycopg.errors.QueryCanceled, *_REFUSALS) as error:
            self._note_failure(f"a decision was not recorded: {error.diag.message_primary or error}")

    def _note_failure(self, sentence: str) -> None:
        if sentence not in self._story.failures and len(self._story.failures) < 10:
            self._story.failures.append(sentence)


@contextmanager
def govern(url: str, settings: Settings, run_id: UUID, folder: Path) -> Iterator["Governor | FixedPace"]:
    """Govern what is done meanwhile: the pace's file lies in `folder` until the end."""
    ceilings = settings.max_rows_per_second or inf, settings.max_bytes_per_second or inf
    if settings.governor == "off":
        fixed = FixedPace(settings)
        if min(ceilings) == inf:
            yield fixed
            return
        pace = Pace.create(folder / f"pace-{run_id}", *ceilings)
        fixed.pace_path = str(pace.path)
        try:
            yield fixed
        finally:
            pace.path.unlink(missing_ok=True)
        return
    pace = Pace.create(folder / f"pace-{run_id}", *ceilings)
    governor = Governor(url, settings, run_id, pace)
    governor.start()
    try:
        yield governor
    finally:
        governor.stop()
        pace.path.unlink(missing_ok=True)


class FixedPace:
    """No governor: at most the ceilings, if there are any."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.pace_path: str | None = None

    def summary(self) -> dict[str, Any]:
        """What the report says."""
        return {"status": "off", **_ceilings(self._settings)}


def _ceilings(settings: Settings) -> dict[str, float | None]:
    return {
        "max_rows_per_second": settings.max_rows_per_second or None,
        "max_bytes_per_second": settings.max_bytes_per_second or None,
    }


def _round(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
