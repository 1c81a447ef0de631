"""How long a query of the platform's kind takes, beside what it takes while nothing is loaded."""

import contextlib
import random
import time
from collections import deque
from typing import Any, Final

import psycopg

from hindcast.settings import Settings

_PROBES: Final = 5  # a sample; some milliseconds a second altogether
_BASELINE_PROBES: Final = 20
_WINDOW_SAMPLES: Final = 6
_LONGEST_PROBING_MS: Final = 250.0
_KEYS_KNOWN: Final = 100
# By the primary key, as the platform finds one event: one partition, one index, one row.
_LOOKUP: Final = "SELECT event_type, user_id FROM analytics_events WHERE event_id = %s AND created_at = %s"
# The latest rows are those the platform touches; no more than a few pages are read.
_RECENT: Final = (
    "SELECT event_id, created_at FROM analytics_events"
    " WHERE created_at > now() - interval '3 months' AND created_at <= now() LIMIT %s"
)
_MISSING: Final = "SELECT gen_random_uuid(), now() - random() * interval '3 months' FROM generate_series(1, %s)"


class Canary:
    """The 95th percentile, in milliseconds, over the last samples; the first measurement is the idle baseline."""

    name, unit = "canary p95", "ms"

    def __init__(self, settings: Settings) -> None:
        self.limit = settings.canary_limit_ms
        self.baseline_ms: float | None = None
        self._factor = settings.canary_limit_factor
        self._own_query = settings.canary_query
        self._keys: list[tuple[Any, ...]] = []
        self._taken: deque[float] = deque(maxlen=_PROBES * _WINDOW_SAMPLES)

    def measure(self, connection: psycopg.Connection) -> float | None:
        if self.baseline_ms is None:
            self._find_keys(connection)
            self._probe(connection)  # the first one plans and reads the catalogue
            self.baseline_ms = _p95(self._probe_often(connection, _BASELINE_PROBES))
            self.limit = max(self.limit, self._factor * self.baseline_ms)
            return self.baseline_ms
        self._taken.extend(self._probe_often(connection, _PROBES))
        return _p95(self._taken)

    def _find_keys(self, connection: psycopg.Connection) -> None:
        if not self._own_query:
            recent = connection.execute(_RECENT, (_KEYS_KNOWN,)).fetchall()
            self._keys = recent or connection.execute(_MISSING, (_KEYS_KNOWN,)).fetchall()

    def _probe_often(self, connection: psycopg.Connection, most: int) -> list[float]:
        """Probe up to `most` times, fewer when they take long: a slow query is not asked again and again."""
        taken = [self._probe(connection)]
        while len(taken) < most and sum(taken) < _LONGEST_PROBING_MS:
            taken.append(self._probe(connection))
        return taken

    def _probe(self, connection: psycopg.Connection) -> float:
        """Milliseconds one query takes; one that is cancelled for taking too long is as slow as that."""
        began = time.perf_counter()
        with contextlib.suppress(psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable):
            if self._own_query:
                with connection.transaction():
                    connection.execute("SET TRANSACTION READ ONLY")
                    connection.execute(self._own_query.encode()).fetchall()  # the operator's own setting
            else:
                connection.execute(_LOOKUP, random.choice(self._keys), prepare=True).fetchall()
        return (time.perf_counter() - began) * 1000


def _p95(values: Any) -> float:
    ordered = sorted(values)
    return float(ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))])
