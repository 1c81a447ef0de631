"""The writer lock: one run, or one rollback, at a time writes to a database, whichever machine it runs on.

It is a session's advisory lock, so a holder that dies frees it. Who holds it is told by that session's application
name, which everybody may read; when the connection breaks, the lock is taken again before anything else can.
"""

import contextlib
import logging
import math
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import psycopg

from hindcast.database import WRITER_LOCK, connect, describe_url
from hindcast.errors import TargetError, TransientError
from hindcast.settings import Settings

_LOOK_SECONDS: Final = 2.0
_TELL_SECONDS: Final = 30.0
_NAME: Final = re.compile(r"hindcast (?P<what>\w+) (?P<id>[0-9a-f-]{36})")
# An advisory lock's key is shown in two halves.
_HOLDER: Final = """
    SELECT l.pid, a.application_name, a.backend_start
    FROM pg_locks AS l
    LEFT JOIN pg_stat_activity AS a USING (pid)
    WHERE l.locktype = 'advisory'
        AND l.granted
        AND l.objsubid = 1
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (l.classid::bigint << 32) | l.objid::bigint = %s
"""

logger = logging.getLogger(__name__)


class WriterLock:
    """The lock while it is held. Use `hold_target`."""

    def __init__(self, url: str, settings: Settings, on_lost: Callable[[], None] | None) -> None:
        self._url, self._settings, self._on_lost = url, settings, on_lost
        self._name = "hindcast"
        self._lost: str | None = None
        self._stack = contextlib.ExitStack()
        self._connection: psycopg.Connection | None = None
        self._guard = threading.Lock()
        self._is_over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="writer lock", daemon=True)

    def tell(self, what: str, run_id: object) -> None:
        """Say who holds the lock: `what` is one word, such as backfill or rollback."""
        self._name = f"hindcast {what} {run_id}"
        with self._guard, contextlib.suppress(psycopg.Error):  # a lost connection is taken up by the watcher
            if self._connection:
                _set_name(self._connection, self._name)

    def require(self) -> None:
        """Raise TransientError when the lock was lost to another writer."""
        if self._lost:
            raise TransientError(self._lost)

    def acquire(self) -> str | None:
        """Take the lock; returns None, or who has it."""
        with self._guard, contextlib.ExitStack() as stack:
            connection = stack.enter_context(connect(self._url, self._settings))
            row = connection.execute("SELECT pg_try_advisory_lock(%s)", (WRITER_LOCK,)).fetchone()
            if not (row and row[0]):
                return describe_holder(connection)
            _set_name(connection, self._name)
            self._connection, self._stack = connection, stack.pop_all()
        return None

    def watch(self) -> None:
        """From now on, take the lock again when its connection breaks."""
        self._watcher.start()

    def release(self) -> None:
        """Let go."""
        self._is_over.set()
        self._watcher.join(10)
        with contextlib.suppress(TargetError):  # a connection that is gone holds nothing
            self._stack.close()

    def _watch(self) -> None:
        while not self._is_over.wait(_LOOK_SECONDS):
            if self._is_held():
                continue
            with contextlib.suppress(TargetError):
                self._stack.close()
            try:
                holder = self.acquire()
            except TargetError:
                continue  # the server is still away: nobody can write
            if holder:
                self._lost = f"the connection that held the target was lost, and now {holder}; run again to go on"
                if self._on_lost:
                    self._on_lost()
                logger.error("%s", self._lost)
                return

    def _is_held(self) -> bool:
        with self._guard:
            try:
                assert self._connection
                self._connection.execute("SELECT 1")
            except psycopg.Error:
                return False
            return True


@contextlib.contextmanager
def hold_target(
    url: str,
    settings: Settings,
    wait_minutes: float = 0,
    on_lost: Callable[[], None] | None = None,
) -> Iterator[WriterLock]:
    """Be the one writer of this database, until the end or death of this process; TargetError names who is already.

    Waits up to `wait_minutes` for another to end. `on_lost` is called from a thread when the connection broke and
    another writer was quicker.
    """
    lock = WriterLock(url, settings, on_lost)
    _acquire_patiently(lock, url, wait_minutes)
    lock.watch()
    try:
        yield lock
        lock.require()
    finally:
        lock.release()


def describe_holder(connection: psycopg.Connection) -> str:
    """A sentence about who holds the lock, as precise as the holder has said."""
    row = connection.execute(_HOLDER, (WRITER_LOCK,)).fetchone()
    if not row:
        return "another run was writing a moment ago"
    pid, name, since = row
    session = f"session {pid}" + (f", connected {since:%Y-%m-%d %H:%M} UTC" if since else "")
    told = _NAME.match(name or "")
    if not told:
        return f"another hindcast is preparing to write ({session})"
    what = "run" if told["what"] == "backfill" else told["what"]
    details = _describe_run(connection, told["id"]) if what == "run" else None
    return f"{what} {told['id']} ({', '.join([*(details or []), session])}) is writing"


def _describe_run(connection: psycopg.Connection, run_id: str) -> list[str]:
    row: Any = connection.execute(
        "SELECT dataset, operator, started_at FROM import_runs WHERE run_id = %s", (run_id,)
    ).fetchone()
    if not row:
        return []
    by = [f"by {row[1]}"] if row[1] else []
    return [row[0], *by, f"started {row[2]:%Y-%m-%d %H:%M} UTC"]


def _acquire_patiently(lock: WriterLock, url: str, wait_minutes: float) -> None:
    deadline, told_at = time.monotonic() + wait_minutes * 60, -math.inf
    while holder := lock.acquire():
        left = deadline - time.monotonic()
        if left <= 0:
            hint = f"waited {wait_minutes:g} minutes for it; try later" if wait_minutes else "wait for it or stop it"
            raise TargetError(f"database {describe_url(url)}: {holder}; {hint}")
        if time.monotonic() - told_at >= _TELL_SECONDS:
            told_at = time.monotonic()
            logger.warning("waiting, %d minutes at most: %s", math.ceil(left / 60), holder)
        time.sleep(min(_LOOK_SECONDS, left))


def _set_name(connection: psycopg.Connection, name: str) -> None:
    connection.execute("SELECT set_config('application_name', %s, false)", (name,))
