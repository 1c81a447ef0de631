"""What the governor watches: one small class a signal, in the order reports show them (docs/manners.md: adding one)."""

from collections.abc import Callable
from typing import Final, Protocol

import psycopg

from hindcast.settings import Settings
from hindcast.signals.canary import Canary
from hindcast.signals.lock_waits import BlockedByUs, LockWaits
from hindcast.signals.replication_lag import ReplicationBacklog, ReplicationLag
from hindcast.signals.wal_rate import WalRate


class Signal(Protocol):
    """Something of the target that our load can make worse. A limit of 0 means that it is not watched."""

    name: str
    unit: str
    limit: float

    def measure(self, connection: psycopg.Connection) -> float | None:
        """Ask the database, in milliseconds; None when there is nothing to say yet. Raises psycopg.Error."""


SIGNALS: Final[tuple[Callable[[Settings], Signal], ...]] = (
    WalRate,
    ReplicationLag,
    ReplicationBacklog,
    BlockedByUs,
    LockWaits,
    Canary,
)


def watched_signals(settings: Settings) -> list[Signal]:
    """The signals whose limit is not 0."""
    return [signal for signal in (make(settings) for make in SIGNALS) if signal.limit]
