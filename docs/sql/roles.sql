-- Least-privilege roles for Hindcast. Run once, as the owner of the tables or a superuser, after `hindcast db migrate`;
-- safe to run again, and to be run again after every migration. They cannot log in: grant them to your own, such as
--     CREATE ROLE nightly_import LOGIN PASSWORD '…';  GRANT hindcast_loader TO nightly_import;
--
--   hindcast_loader   imports: adds events, writes the ledger, rebuilds rollups, has months added. It can neither
--                     delete nor change an event, and reads no set-aside text. --on-conflict replace needs the pruner.
--   hindcast_pruner   rolls back and restores as well: deletes events, reads and writes everything of the ledger.
--   hindcast_reader   dashboards and auditors: events, rollups, the ledger without set-aside text.
--
-- Whole months are detached and dropped by the owner of analytics_events only (PostgreSQL has no privilege for it).
-- For a pruner that does: GRANT <the owner of analytics_events> TO <your pruner>.
-- To let the governor see standbys: GRANT pg_read_all_stats TO <your loader>. It shows other sessions' queries, too.

DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['hindcast_loader', 'hindcast_pruner', 'hindcast_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
        END IF;
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA public TO hindcast_loader, hindcast_pruner, hindcast_reader;

-- Everybody: is the schema the one this version needs?
GRANT SELECT ON hindcast_version TO hindcast_loader, hindcast_pruner, hindcast_reader;

-- The loader. Events are read to find repeats and to prove the load. Months are reached through their parent, so those
-- made later need no grants of their own; they are made by a function that runs as the owner.
GRANT SELECT, INSERT ON analytics_events TO hindcast_loader;
GRANT EXECUTE ON FUNCTION hindcast_add_month(date) TO hindcast_loader;
GRANT SELECT, INSERT, UPDATE ON import_runs, import_parts TO hindcast_loader;
GRANT SELECT, INSERT ON import_chunks TO hindcast_loader;
GRANT USAGE ON SEQUENCE import_chunks_chunk_id_seq TO hindcast_loader;
-- A run that goes on writes its rejects afresh.
GRANT INSERT, DELETE, SELECT (run_id) ON import_rejects TO hindcast_loader;
GRANT INSERT, SELECT (run_id, part, line, chunk_id, event_id, against, fields, is_replaced)
    ON import_conflicts TO hindcast_loader;
GRANT INSERT ON import_governor TO hindcast_loader;
-- What is remembered between runs.
GRANT SELECT, INSERT, UPDATE ON derived_keys TO hindcast_loader;
GRANT SELECT, INSERT ON derived_states TO hindcast_loader;
-- Objects are claimed before they are put; what was put for a record that is not loaded is taken back.
GRANT SELECT, INSERT, UPDATE, DELETE ON llm_objects TO hindcast_loader;
-- Rollups, and what they are counted from.
GRANT SELECT, INSERT, DELETE ON
    daily_events,
    daily_course_engagement,
    daily_lesson_dropoff,
    daily_active_users,
    daily_groups,
    daily_users,
    hourly_service_health,
    daily_geography
TO hindcast_loader;
GRANT SELECT, INSERT, UPDATE, DELETE ON first_seen_users TO hindcast_loader;
GRANT SELECT, INSERT, DELETE ON daily_email_engagement, minute_engagement, esp_latency TO hindcast_loader;
GRANT SELECT, INSERT, DELETE ON daily_llm_usage TO hindcast_loader;
GRANT SELECT, INSERT ON identity_links TO hindcast_loader;
GRANT SELECT ON lesson_dropoff, hindcast_run_events TO hindcast_loader;
-- Proving a run again: which of its rows were rolled back since.
GRANT SELECT ON import_archives TO hindcast_loader;

-- The pruner: what the loader may, and taking out.
GRANT hindcast_loader TO hindcast_pruner;
GRANT DELETE ON analytics_events TO hindcast_pruner;
-- Whether anybody wrote to a month while it was archived.
GRANT USAGE, SELECT ON SEQUENCE hindcast_late_writes TO hindcast_pruner;

-- The reader. Reports and gates hold samples of set-aside text, previous_row whole rows of another owner.
GRANT SELECT ON
    analytics_events,
    daily_events,
    daily_course_engagement,
    daily_lesson_dropoff,
    daily_active_users,
    daily_groups,
    hourly_service_health,
    daily_geography,
    daily_email_engagement,
    minute_engagement,
    esp_latency,
    daily_llm_usage,
    campaign_engagement,
    engagement_profile,
    lesson_dropoff,
    hindcast_run_events,
    import_parts,
    import_chunks,
    import_governor,
    import_archives,
    import_prune_months,
    import_prune_chunks
TO hindcast_reader;
GRANT SELECT (
    run_id, dataset, format, export, tenant, operator, window_start, window_end, status, started_at, finished_at,
    attempts, plan_hash, manifest_seal, counts
) ON import_runs TO hindcast_reader;
GRANT SELECT (run_id, part, line, byte_offset, code) ON import_rejects TO hindcast_reader;
GRANT SELECT (run_id, part, line, chunk_id, event_id, against, is_replaced) ON import_conflicts TO hindcast_reader;

-- The pruner's tables of the ledger, also those that come with later versions.
DO $$
DECLARE
    table_name regclass;
    sequence_name regclass;
BEGIN
    FOR table_name IN
        SELECT oid FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname LIKE 'import\_%'
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO hindcast_pruner', table_name);
    END LOOP;
    FOR sequence_name IN
        SELECT oid FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'S' AND relname LIKE 'import\_%'
    LOOP
        EXECUTE format('GRANT USAGE ON SEQUENCE %s TO hindcast_pruner', sequence_name);
    END LOOP;
END
$$;

-- With row-level security on analytics_events (adopted from the platform's own table) a grant alone shows nothing, and
-- COPY is refused: whoever loads then also needs ALTER ROLE <your loader> BYPASSRLS, which preflight says.
DO $$
BEGIN
    IF (SELECT relrowsecurity FROM pg_class WHERE oid = 'analytics_events'::regclass) THEN
        DROP POLICY IF EXISTS hindcast_pruner ON analytics_events;
        DROP POLICY IF EXISTS hindcast_reader ON analytics_events;
        CREATE POLICY hindcast_pruner ON analytics_events FOR DELETE TO hindcast_pruner USING (true);
        CREATE POLICY hindcast_reader ON analytics_events FOR SELECT
            TO hindcast_reader, hindcast_loader, hindcast_pruner USING (true);
    END IF;
END
$$;
