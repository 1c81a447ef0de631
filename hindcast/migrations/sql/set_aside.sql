-- Renames the platform's own analytics_events, and its indexes, out of the way of ours. What would stay behind with
-- the old table unseen is refused here, before anything is changed.
DO $$
DECLARE
    old regclass := 'analytics_events'::regclass;
    obstacle text;
    index_name text;
BEGIN
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', old);
    SELECT string_agg(fault, ', ') INTO obstacle
    FROM (
        SELECT 'is not an ordinary table' AS fault
        FROM pg_class WHERE oid = old AND relkind <> 'r'
        UNION ALL
        SELECT 'trigger ' || tgname FROM pg_trigger WHERE tgrelid = old AND NOT tgisinternal
        UNION ALL
        SELECT 'foreign key ' || conname FROM pg_constraint WHERE contype = 'f' AND old IN (conrelid, confrelid)
        UNION ALL
        SELECT 'generated column ' || attname FROM pg_attribute WHERE attrelid = old AND attgenerated <> ''
        UNION ALL
        SELECT 'column ' || attname || ' of type ' || format_type(atttypid, atttypmod)
        FROM pg_attribute
        WHERE attrelid = old
            AND attname = 'created_at'
            AND atttypid NOT IN ('timestamptz'::regtype, 'timestamp'::regtype)
        UNION ALL
        SELECT DISTINCT 'materialized view ' || r.ev_class::regclass
        FROM pg_depend AS d
        INNER JOIN pg_rewrite AS r
            ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
        INNER JOIN pg_class AS c
            ON c.oid = r.ev_class AND c.relkind = 'm'
        WHERE d.refobjid = old
    ) AS obstacles;
    IF obstacle IS NOT NULL THEN
        RAISE EXCEPTION 'analytics_events cannot be adopted as it is: %; drop it and make it again afterwards', obstacle;
    END IF;

    ALTER TABLE analytics_events RENAME TO analytics_events_before_hindcast;
    FOR index_name IN
        SELECT relname FROM pg_class WHERE oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = old)
    LOOP
        EXECUTE format('ALTER INDEX %I RENAME TO %I', index_name, left(index_name, 46) || '_before_hindcast');
    END LOOP;
END
$$;
