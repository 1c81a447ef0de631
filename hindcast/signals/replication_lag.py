"""How far the standbys are behind. Without standbys there is nothing to say."""

from typing import Final

import psycopg

from hindcast.settings import Settings

# A base backup streams too, and is behind by nature. The lag is null while nothing was sent for a while: then nothing
# is behind, or the backlog tells it.
_LAG: Final = """
    SELECT extract(epoch FROM max(coalesce(replay_lag, write_lag)))::float
    FROM pg_stat_replication
    WHERE state IS DISTINCT FROM 'backup'
"""
_BACKLOG: Final = """
    SELECT max(pg_wal_lsn_diff(pg_current_wal_lsn(), coalesce(replay_lsn, sent_lsn)))::float / 1e6
    FROM pg_stat_replication
    WHERE state IS DISTINCT FROM 'backup'
"""


class ReplicationLag:
    """Seconds until the slowest standby has applied what was committed."""

    name, unit = "replication lag", "s"

    def __init__(self, settings: Settings) -> None:
        self.limit = settings.max_replication_lag_seconds

    def measure(self, connection: psycopg.Connection) -> float | None:
        _require_sight(connection)
        row = connection.execute(_LAG).fetchone()
        return float(row[0]) if row and row[0] is not None else None


class ReplicationBacklog:
    """Megabytes of write-ahead log the slowest standby has not applied; grows also while it does not answer."""

    name, unit = "replication backlog", "MB"

    def __init__(self, settings: Settings) -> None:
        self.limit = settings.max_replication_backlog_mb

    def measure(self, connection: psycopg.Connection) -> float | None:
        _require_sight(connection)
        row = connection.execute(_BACKLOG).fetchone()
        return float(row[0]) if row and row[0] is not None else None


def _require_sight(connection: psycopg.Connection) -> None:
    """Raise InsufficientPrivilege when there are standbys whose state this role is not shown."""
    row = connection.execute("SELECT count(*), count(state) FROM pg_stat_replication").fetchone()
    assert row
    if row[0] > row[1]:
        raise psycopg.errors.InsufficientPrivilege("pg_stat_replication hides the standbys: GRANT pg_read_all_stats")
