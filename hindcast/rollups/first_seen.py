"""First sight of users: who was active on which day, and since when; an older backfill corrects later days.

`daily_users` is rebuilt for the days concerned; `first_seen_users` follows for the users who came or went. Whose
first day moved says which other days' `daily_active_users` are to be rebuilt as well.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any, Final

import psycopg

from hindcast.times import merge_days, midnight

# One row a user and day. Only with its bounds as constants does a plan leave out the other months.
_FRESH: Final = (
    "CREATE TEMP TABLE fresh_users ON COMMIT DROP AS SELECT day, source, user_key FROM daily_users WHERE false"
)
_ADD_FRESH: Final = """
INSERT INTO fresh_users
SELECT DISTINCT
    (created_at AT TIME ZONE 'UTC')::date,
    source,
    md5(jsonb_build_array(tenant, user_id)::text)::uuid
FROM analytics_events
WHERE created_at >= %s
    AND created_at < %s
    AND source = 'amplitude'
    AND user_id IS NOT NULL
"""
_CHANGED: Final = """
CREATE TEMP TABLE changed_users ON COMMIT DROP AS
(
    SELECT u.day, u.source, u.user_key, false AS is_new FROM daily_users AS u INNER JOIN rebuilt_days USING (day)
    EXCEPT SELECT day, source, user_key, false FROM fresh_users
)
UNION ALL
(
    SELECT day, source, user_key, true FROM fresh_users
    EXCEPT SELECT u.day, u.source, u.user_key, true FROM daily_users AS u INNER JOIN rebuilt_days USING (day)
)
"""
_APPLY: Final = (
    "DELETE FROM daily_users AS u USING changed_users AS c"
    " WHERE NOT c.is_new AND u.source = c.source AND u.user_key = c.user_key AND u.day = c.day",
    "INSERT INTO daily_users (day, source, user_key) SELECT day, source, user_key FROM changed_users WHERE is_new",
)
_MOVED: Final = """
CREATE TEMP TABLE moved_users ON COMMIT DROP AS
SELECT
    c.source,
    c.user_key,
    f.first_day AS before,
    (SELECT min(u.day) FROM daily_users AS u WHERE u.source = c.source AND u.user_key = c.user_key) AS after
FROM (SELECT DISTINCT source, user_key FROM changed_users) AS c
LEFT JOIN first_seen_users AS f USING (source, user_key)
"""
_FOLLOW: Final = (
    "DELETE FROM moved_users WHERE before IS NOT DISTINCT FROM after",
    "DELETE FROM first_seen_users AS f USING moved_users AS m"
    " WHERE m.after IS NULL AND f.source = m.source AND f.user_key = m.user_key",
    "INSERT INTO first_seen_users (source, user_key, first_day)"
    " SELECT source, user_key, after FROM moved_users WHERE after IS NOT NULL"
    " ON CONFLICT (source, user_key) DO UPDATE SET first_day = excluded.first_day",
)
_WRONG: Final = """
SELECT
    (SELECT count(*) FROM changed_users) + (
        SELECT count(*) FROM (SELECT DISTINCT source, user_key FROM fresh_users) AS u
        LEFT JOIN first_seen_users AS f USING (source, user_key)
        WHERE f.first_day IS DISTINCT FROM (
            SELECT min(d.day) FROM daily_users AS d WHERE d.source = u.source AND d.user_key = u.user_key
        )
    )
"""


def refresh_first_seen(connection: psycopg.Connection, days: Sequence[date]) -> list[date]:
    """Bring both tables up to date for these days; returns them with the days whose newcomers are others now.

    Within the transaction under way.
    """
    _find_changes(connection, days)
    for statement in (*_APPLY, _MOVED, *_FOLLOW):
        connection.execute(statement)
    rows = connection.execute("SELECT before FROM moved_users UNION SELECT after FROM moved_users").fetchall()
    return sorted({*days, *(day for (day,) in rows if day is not None)})


def count_wrong_first_seen(connection: psycopg.Connection, days: Sequence[date]) -> int:
    """Rows of both tables that are not what the raw rows of these days say; within the transaction under way."""
    _find_changes(connection, days)
    found: Any = connection.execute(_WRONG).fetchone()
    return int(found[0])


def _find_changes(connection: psycopg.Connection, days: Sequence[date]) -> None:
    connection.execute(
        "CREATE TEMP TABLE rebuilt_days ON COMMIT DROP AS SELECT DISTINCT unnest(%s::date[]) AS day", (list(days),)
    )
    connection.execute(_FRESH)
    for start, end in merge_days(days):
        connection.execute(_ADD_FRESH, (midnight(start), midnight(end)))
    connection.execute(_CHANGED)
    connection.execute("ANALYZE changed_users")
