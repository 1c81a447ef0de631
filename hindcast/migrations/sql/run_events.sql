-- As in ledger.sql, within the chunk ids of the run: of other pages the block ranges tell that they hold none, and a run's
-- gate reads what the run wrote instead of the whole table.
CREATE OR REPLACE VIEW hindcast_run_events AS
SELECT
    e.*
FROM analytics_events AS e
INNER JOIN import_chunks AS c
    ON c.chunk_id = e.import_chunk_id
WHERE c.run_id = nullif(current_setting('hindcast.run_id', true), '')::uuid
    AND e.import_chunk_id >= (
        SELECT min(chunk_id) FROM import_chunks
        WHERE run_id = nullif(current_setting('hindcast.run_id', true), '')::uuid
    )
    AND e.import_chunk_id <= (
        SELECT max(chunk_id) FROM import_chunks
        WHERE run_id = nullif(current_setting('hindcast.run_id', true), '')::uuid
    );
