"""Sessions that wait for locks: everybody may read pg_locks, and every session's application name."""

from typing import Final

import psycopg

from hindcast.settings import Settings

# Every lock is waited for now and then; what lasts longer than this is felt.
_FELT_SECONDS: Final = 0.2
# Who blocks whom costs the lock tables a moment: asked only about those who wait.
_BLOCKED: Final = """
    SELECT max(extract(epoch FROM clock_timestamp() - l.waitstart))::float
    FROM pg_locks AS l
    INNER JOIN pg_stat_activity AS a USING (pid)
    WHERE NOT l.granted
        AND a.application_name NOT LIKE 'hindcast%'
        AND a.backend_type IS DISTINCT FROM 'autovacuum worker'
        AND EXISTS (
            SELECT
            FROM unnest(pg_blocking_pids(l.pid)) AS b (pid)
            INNER JOIN pg_stat_activity AS ours USING (pid)
            WHERE ours.application_name LIKE 'hindcast%'
        )
"""
_WAITING: Final = """
    SELECT count(DISTINCT l.pid)
    FROM pg_locks AS l
    INNER JOIN pg_stat_activity AS a USING (pid)
    WHERE NOT l.granted
        AND a.application_name NOT LIKE 'hindcast%%'
        AND a.backend_type IS DISTINCT FROM 'autovacuum worker'
        AND clock_timestamp() - l.waitstart > make_interval(secs => %s)
"""


class BlockedByUs:
    """Seconds that the longest waiting session of others has waited for a lock one of ours holds."""

    name, unit = "blocked by us", "s"

    def __init__(self, settings: Settings) -> None:
        self.limit = settings.max_blocked_seconds

    def measure(self, connection: psycopg.Connection) -> float | None:
        row = connection.execute(_BLOCKED).fetchone()
        return float(row[0]) if row and row[0] is not None else 0.0


class LockWaits:
    """Sessions of others that have waited for any lock for a fifth of a second or longer."""

    name, unit = "lock waits", "sessions"

    def __init__(self, settings: Settings) -> None:
        self.limit = settings.max_lock_waits

    def measure(self, connection: psycopg.Connection) -> float | None:
        row = connection.execute(_WAITING, (_FELT_SECONDS,)).fetchone()
        assert row
        return float(row[0])
