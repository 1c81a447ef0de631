CREATE TABLE analytics_events (
    event_id uuid NOT NULL DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    source text NOT NULL DEFAULT 'live',
    tenant text NOT NULL DEFAULT '',
    event_type text NOT NULL,
    user_id text,
    anonymous_id text,
    session_id text,
    course_id text,
    lesson_id text,
    module_id text,
    user_agent text,
    payload jsonb DEFAULT '{}',
    source_event_id text,
    import_chunk_id bigint,
    export_line bigint,
    imported_at timestamptz,
    PRIMARY KEY (event_id, created_at)
) PARTITION BY RANGE (created_at);

COMMENT ON COLUMN analytics_events.created_at IS 'when the event happened';
COMMENT ON COLUMN analytics_events.import_chunk_id IS 'null: written by the live platform, which rollback never touches';

CREATE INDEX analytics_events_source_event_id
    ON analytics_events (source, tenant, source_event_id)
    WHERE source_event_id IS NOT NULL;

-- Block ranges: a few kilobytes a month, and rows of one time or one import lie together.
CREATE INDEX analytics_events_created_at ON analytics_events USING brin (created_at) WITH (pages_per_range = 32);
CREATE INDEX analytics_events_import_chunk_id
    ON analytics_events USING brin (import_chunk_id) WITH (pages_per_range = 32);

-- One month: made aside and attached, since CREATE ... PARTITION OF locks the parent against everybody.
CREATE FUNCTION hindcast_add_month(month_start date) RETURNS boolean
LANGUAGE plpgsql
SET timezone = 'UTC'
SET search_path = public, pg_temp
AS $$
DECLARE
    month_end date := (month_start + interval '1 month')::date;
    partition_name text := 'analytics_events_' || to_char(month_start, 'YYYY_MM');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('hindcast partitions'));
    IF EXISTS (
        SELECT FROM pg_inherits
        WHERE inhparent = 'analytics_events'::regclass
            AND inhrelid = to_regclass(partition_name)
    ) THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE analytics_events INCLUDING ALL)', partition_name);
    EXECUTE format(
        'ALTER TABLE %I ADD CONSTRAINT %I CHECK (created_at >= %L AND created_at < %L)',
        partition_name, partition_name || '_range', month_start::timestamptz, month_end::timestamptz
    );
    EXECUTE format(
        'ALTER TABLE analytics_events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        partition_name, month_start::timestamptz, month_end::timestamptz
    );
    EXECUTE format('ALTER TABLE %I DROP CONSTRAINT %I', partition_name, partition_name || '_range');
    IF (SELECT relrowsecurity FROM pg_class WHERE oid = 'analytics_events'::regclass) THEN
        -- Without policies of its own: it can only be read through its parent's.
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', partition_name);
    END IF;
    RETURN true;
END
$$;
