"""What rows had taken the place of (`--on-conflict replace`): taking them out puts the row before them back, whole."""

from typing import Final

import psycopg
from psycopg import sql

from hindcast.selection import Selection

# A row before is skipped, and the one before that taken, when the selection takes it too or its run is rolled back.
_CHAIN: Final = sql.SQL(
    "WITH RECURSIVE replaced (chunk_id, event_id, previous_row, is_gone) AS ("
    " SELECT k.chunk_id, k.event_id, k.previous_row, ({gone})"
    " FROM import_conflicts AS k"
    " INNER JOIN analytics_events AS e ON e.import_chunk_id = k.chunk_id AND e.event_id = k.event_id"
    " CROSS JOIN LATERAL jsonb_populate_record(NULL::analytics_events, k.previous_row) AS p"
    " WHERE k.is_replaced AND {selected}"
    " UNION ALL"
    " SELECT r.chunk_id, r.event_id, k.previous_row, ({gone})"
    " FROM replaced AS r"
    " INNER JOIN import_conflicts AS k ON k.is_replaced"
    " AND k.chunk_id = (r.previous_row ->> 'import_chunk_id')::bigint"
    " AND k.event_id = (r.previous_row ->> 'event_id')::uuid"
    " CROSS JOIN LATERAL jsonb_populate_record(NULL::analytics_events, k.previous_row) AS p"
    " WHERE r.is_gone"
    ") SELECT DISTINCT ON (chunk_id, event_id) chunk_id, event_id, previous_row::text AS put_back"
    " FROM replaced WHERE NOT is_gone"
)
_IS_ROLLED_BACK: Final = sql.SQL(
    "EXISTS (SELECT FROM import_chunks AS c INNER JOIN import_runs AS r USING (run_id)"
    " WHERE c.chunk_id = p.import_chunk_id AND r.status = 'rolled_back')"
)


def count_put_back(connection: psycopg.Connection, selection: Selection) -> int:
    """Rows that taking the selected ones out would put back."""
    if not _has_replaced(connection):
        return 0
    counted = sql.SQL("SELECT count(*) FROM ({}) AS b").format(_chain(selection))
    row = connection.execute(counted).fetchone()
    return int(row[0]) if row else 0


def prepare_put_back(connection: psycopg.Connection, selection: Selection) -> bool:
    """Make the temporary table `put_back` of this transaction, if there is anything to put back at all."""
    if not _has_replaced(connection):
        return False
    connection.execute(sql.SQL("CREATE TEMP TABLE put_back ON COMMIT DROP AS {}").format(_chain(selection)))
    connection.execute("CREATE INDEX ON put_back (event_id)")
    connection.execute("ANALYZE put_back")
    return True


def _has_replaced(connection: psycopg.Connection) -> bool:
    row = connection.execute("SELECT EXISTS (SELECT FROM import_conflicts WHERE is_replaced)").fetchone()
    return bool(row and row[0])


def _chain(selection: Selection) -> sql.Composed:
    gone = sql.SQL("coalesce({}, FALSE) OR {}").format(selection.condition("p"), _IS_ROLLED_BACK)
    return _CHAIN.format(gone=gone, selected=selection.condition("e"))
