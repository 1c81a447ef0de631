"""Database sessions lent to requests, a bounded number at once, opened again when they broke."""

import contextlib
import queue
import threading
from collections.abc import Iterator
from typing import Final

import psycopg

from hindcast.database import connect, describe_url, translated
from hindcast.errors import TransientError
from hindcast.settings import Settings

LONGEST_WAIT_SECONDS: Final = 10.0


class Sessions:
    """Up to `size` autocommit sessions on one database; thread-safe."""

    def __init__(self, url: str, settings: Settings, size: int = 8) -> None:
        self._url, self._settings = url, settings
        self._turns = threading.BoundedSemaphore(size)
        self._idle: queue.LifoQueue[tuple[contextlib.ExitStack, psycopg.Connection]] = queue.LifoQueue()

    @contextlib.contextmanager
    def lend(self) -> Iterator[psycopg.Connection]:
        """A session that answered just now; its faults come out as TargetError and TransientError."""
        if not self._turns.acquire(timeout=LONGEST_WAIT_SECONDS):
            raise TransientError(f"database {describe_url(self._url)}: every session is busy")
        try:
            stack, connection = self._take() or self._open()
            try:
                with translated(self._url):
                    yield connection
            finally:
                if connection.closed or connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                    stack.close()
                else:
                    self._idle.put((stack, connection))
        finally:
            self._turns.release()

    def close(self) -> None:
        """Close the idle sessions."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait()[0].close()

    def _take(self) -> tuple[contextlib.ExitStack, psycopg.Connection] | None:
        while True:
            try:
                stack, connection = self._idle.get_nowait()
            except queue.Empty:
                return None
            try:
                connection.execute("SELECT")
            except psycopg.Error:  # the server was restarted, say
                stack.close()
            else:
                return stack, connection

    def _open(self) -> tuple[contextlib.ExitStack, psycopg.Connection]:
        with contextlib.ExitStack() as stack:
            connection = stack.enter_context(connect(self._url, self._settings))
            return stack.pop_all(), connection
