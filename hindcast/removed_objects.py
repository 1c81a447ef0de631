"""Removing the objects of archived rows, after the rows: given up first, then deleted, each only when no row has it.

Killed anywhere, what was begun is pending: another attempt goes on with it, a sweep removes it, and whoever loads its
event again puts it again.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Final
from uuid import UUID

import psycopg

from hindcast.archive import Description
from hindcast.archived_objects import batched, open_store_of, read_index
from hindcast.llm_events import SOURCE
from hindcast.objects.store import REQUESTS_AT_ONCE
from hindcast.settings import Settings

# A statement of its own: what was committed while it waited is seen by the next one, not by itself.
_LOCK: Final = (
    "SELECT FROM llm_objects AS o INNER JOIN unnest(%s::text[], %s::text[], %s::text[]) AS a (bucket, key, sha256)"
    " ON (o.bucket, o.key, o.sha256) = (a.bucket, a.key, a.sha256)"
    ' ORDER BY o.key COLLATE "C" FOR UPDATE OF o'
)
_GIVE_UP: Final = (
    "UPDATE llm_objects AS o SET state = 'pending', committed_at = NULL, created_at = now(), claim = %s"
    " FROM unnest(%s::text[], %s::text[], %s::text[]) AS a (bucket, key, sha256)"
    " WHERE (o.bucket, o.key, o.sha256) = (a.bucket, a.key, a.sha256) AND o.state = 'committed'"
    " AND NOT EXISTS (SELECT FROM analytics_events AS e"
    " WHERE e.source = %s AND e.tenant = o.team AND e.source_event_id = o.event_uuid::text)"
)
_TAKE: Final = (
    "SELECT key FROM llm_objects WHERE bucket = %s AND key = ANY(%s) AND state = 'pending' AND claim = %s"
    ' ORDER BY key COLLATE "C" FOR UPDATE'
)


def remove_objects(connection: psycopg.Connection, description: Description, folder: str, settings: Settings) -> int:
    """Remove the archived objects whose events are gone, some at a time; returns how many. Safe to repeat.

    Those of an earlier attempt have the archive's claim.
    """
    index, claim = read_index(description, folder), UUID(description.archive_id)
    if not index:
        return 0
    store = open_store_of(settings, {found.bucket for found in index})
    removed = 0
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        for batch in batched(index):
            keys = [found.key for found in batch]
            places = ([store.bucket] * len(batch), keys, [found.sha256 for found in batch])
            with connection.transaction():
                connection.execute(_LOCK, places)
                connection.execute(_GIVE_UP, (claim, *places, SOURCE))
            with connection.transaction():
                # Locked: whoever loads an event again meanwhile waits until its object is gone, and puts it again.
                gone = [key for (key,) in connection.execute(_TAKE, (store.bucket, keys, claim))]
                list(pool.map(store.delete, gone))
                connection.execute("DELETE FROM llm_objects WHERE bucket = %s AND key = ANY(%s)", (store.bucket, gone))
            removed += len(gone)
    return removed
