-- Manners: what the governor decided, kept exports, months that a loader may add without owning the table.
CREATE TABLE import_governor (
    decision_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id uuid NOT NULL,
    decided_at timestamptz NOT NULL,
    action text NOT NULL CHECK (action IN ('slow', 'hold', 'trickle', 'raise', 'free', 'off')),
    signal text NOT NULL,
    value double precision,
    limit_value double precision,
    unit text NOT NULL,
    rows_per_second double precision,
    bytes_per_second double precision,
    reason text
);
COMMENT ON TABLE import_governor IS 'one row a change of a load''s pace; rows_per_second null: as fast as it goes';
CREATE INDEX import_governor_run_id ON import_governor (run_id);

ALTER TABLE import_parts ADD COLUMN kept_as text;
COMMENT ON COLUMN import_parts.kept_as IS 'where the raw file is kept, checked byte for byte';

-- A month is made with the rights of the owner of analytics_events: docs/sql/roles.sql says who may ask for one.
ALTER FUNCTION hindcast_add_month(date) SECURITY DEFINER;
REVOKE EXECUTE ON FUNCTION hindcast_add_month(date) FROM PUBLIC;
