"""The pace of a load: a token bucket in a small file that the governor sets and every worker process draws from.

A worker asks before each chunk and pays for the whole chunk at once, so what it was allowed is what it sent.
"""

import fcntl
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from math import inf
from pathlib import Path
from typing import Final

# A waiting worker looks again this often at the latest, so that it sees a changed pace.
_LOOK_SECONDS: Final = 0.2
# A governor that is silent for this long is gone or has lost the database: only the ceiling still holds.
STALE_SECONDS: Final = 30.0


@dataclass
class _Bucket:
    """What the file holds. Times are seconds since 1970: workers of other hosts draw from it too."""

    rows_per_second: float
    bytes_per_second: float
    ceiling_rows: float
    ceiling_bytes: float
    set_at: float
    refilled_at: float
    owed_rows: float = 0.0
    owed_bytes: float = 0.0
    taken_rows: float = 0.0
    taken_bytes: float = 0.0

    def refill(self, now: float) -> None:
        """Pay off what is owed with the time that has passed."""
        if now - self.set_at > STALE_SECONDS:
            self.rows_per_second, self.bytes_per_second = self.ceiling_rows, self.ceiling_bytes
        elapsed = max(0.0, now - self.refilled_at)
        self.owed_rows = _pay(self.owed_rows, elapsed, self.rows_per_second)
        self.owed_bytes = _pay(self.owed_bytes, elapsed, self.bytes_per_second)
        self.refilled_at = max(self.refilled_at, now)  # clocks may differ a little: no second counts twice

    def seconds_left(self) -> float:
        """How long until nothing is owed; infinite while held."""
        if not self.rows_per_second:
            return inf
        return max(_divide(self.owed_rows, self.rows_per_second), _divide(self.owed_bytes, self.bytes_per_second))


_LAYOUT: Final = struct.Struct("=10d")


@dataclass(frozen=True)
class Pace:
    """The pace in its file; whoever sees the file may open it by its path."""

    path: Path

    @classmethod
    def create(cls, path: Path, ceiling_rows: float = inf, ceiling_bytes: float = inf) -> "Pace":
        """Make the file, as fast as the ceilings (a second) allow."""
        now = time.time()
        path.parent.mkdir(parents=True, exist_ok=True)
        bucket = _Bucket(ceiling_rows, ceiling_bytes, ceiling_rows, ceiling_bytes, now, now)
        aside = path.with_name(f"{path.name}.{os.getpid()}.new")
        aside.write_bytes(_LAYOUT.pack(*astuple(bucket)))
        aside.rename(path)
        return cls(path)

    def set(self, rows_per_second: float, bytes_per_second: float = inf) -> None:
        """Change the rates; 0 rows holds everybody. Also says that the governor is alive."""
        with self._locked() as bucket:
            now = time.time()
            bucket.refill(now)
            bucket.rows_per_second = min(rows_per_second, bucket.ceiling_rows)
            bucket.bytes_per_second = min(bytes_per_second, bucket.ceiling_bytes)
            bucket.set_at = now

    def taken(self) -> tuple[float, float]:
        """Rows and bytes that workers were allowed so far."""
        with self._locked() as bucket:
            return bucket.taken_rows, bucket.taken_bytes

    def wait(self, rows: int, size_bytes: int, not_after: float | None = None) -> bool:
        """Wait for our turn and take it; False when `not_after` (epoch seconds) comes first.

        Without the file (no governor, a host that does not see it) it is always our turn.
        """
        while True:
            if not_after is not None and time.time() >= not_after:
                return False
            try:
                left = self._try_take(rows, size_bytes)
            except FileNotFoundError:
                return True
            if not left:
                return True
            if not_after is not None:
                left = min(left, max(0.0, not_after - time.time()))
            time.sleep(min(left, _LOOK_SECONDS))

    def _try_take(self, rows: int, size_bytes: int) -> float:
        with self._locked() as bucket:
            bucket.refill(time.time())
            left = bucket.seconds_left()
            if not left:
                bucket.owed_rows, bucket.owed_bytes = float(rows), float(size_bytes)
                bucket.taken_rows += rows
                bucket.taken_bytes += size_bytes
            return left

    @contextmanager
    def _locked(self) -> Iterator[_Bucket]:
        descriptor = os.open(self.path, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            bucket = _Bucket(*_LAYOUT.unpack(os.pread(descriptor, _LAYOUT.size, 0)))
            yield bucket
            os.pwrite(descriptor, _LAYOUT.pack(*astuple(bucket)), 0)
        finally:
            os.close(descriptor)


def _pay(owed: float, elapsed: float, rate: float) -> float:
    return 0.0 if rate == inf else max(0.0, owed - elapsed * rate)


def _divide(owed: float, rate: float) -> float:
    return 0.0 if rate == inf else owed / rate
