"""How fast the write-ahead log grows: what replicas, archiving and checkpoints have to keep up with."""

import time
from collections import deque
from typing import Final

import psycopg

from hindcast.settings import Settings

# Chunks are bursts of a second or less: a shorter look would see either a burst or none.
_WINDOW_SECONDS: Final = 5.0


class WalRate:
    """Megabytes (10^6 bytes) a second, of the whole server, over the last five seconds."""

    name, unit, is_rate = "wal rate", "MB/s", True

    def __init__(self, settings: Settings) -> None:
        self.limit = settings.max_wal_mb_per_second
        self._positions: deque[tuple[float, int]] = deque()

    def measure(self, connection: psycopg.Connection) -> float | None:
        # Where it is inserted, not where it is written: without synchronous_commit the latter follows late, in leaps.
        row = connection.execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint").fetchone()
        assert row
        now = time.monotonic()
        self._positions.append((now, row[0]))
        while len(self._positions) > 2 and now - self._positions[1][0] >= _WINDOW_SECONDS:
            self._positions.popleft()
        began, first = self._positions[0]
        return (row[0] - first) / (now - began) / 1e6 if len(self._positions) > 1 else None
