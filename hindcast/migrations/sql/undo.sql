-- Undo: archives of pruned rows, and how far taking the rows out (or putting them back) has come.
CREATE TABLE import_archives (
    archive_id uuid PRIMARY KEY,
    operation text NOT NULL DEFAULT 'rollback' CHECK (operation IN ('rollback')),
    selection jsonb NOT NULL,
    run_id uuid REFERENCES import_runs,
    run_status text,
    operator text NOT NULL DEFAULT '',
    status text NOT NULL
        CHECK (status IN ('archiving', 'archived', 'deleting', 'deleted', 'failed', 'restoring', 'restored')),
    uri text NOT NULL,
    rows bigint,
    digest text,
    live_rows bigint,
    put_back bigint,
    days date[] NOT NULL DEFAULT '{}',
    months jsonb NOT NULL DEFAULT '[]',
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    restored_at timestamptz,
    report jsonb,
    error text,
    -- Nothing is deleted before its archive is whole and was read again.
    CONSTRAINT import_archives_verified
        CHECK (status IN ('archiving', 'failed') OR (rows IS NOT NULL AND digest IS NOT NULL))
);
CREATE UNIQUE INDEX import_archives_unfinished
    ON import_archives (selection)
    WHERE status IN ('archiving', 'archived', 'deleting');
COMMENT ON COLUMN import_archives.run_status IS 'what the run was before: restoring makes it that again';

CREATE TABLE import_archive_files (
    archive_id uuid NOT NULL REFERENCES import_archives,
    file text NOT NULL,
    month date NOT NULL,
    rows bigint NOT NULL,
    digest text NOT NULL,
    sha256 text NOT NULL,
    size_bytes bigint NOT NULL,
    PRIMARY KEY (archive_id, file)
);

-- Months that held nothing but archived rows. `detaching` is written before anything happens to the partition.
CREATE TABLE import_prune_months (
    archive_id uuid NOT NULL REFERENCES import_archives,
    month date NOT NULL,
    rows bigint NOT NULL,
    digest text NOT NULL,
    state text NOT NULL CHECK (state IN ('detaching', 'dropped', 'kept')),
    PRIMARY KEY (archive_id, month)
);

CREATE TABLE import_prune_chunks (
    archive_id uuid NOT NULL REFERENCES import_archives,
    chunk_number integer NOT NULL,
    rows bigint NOT NULL,
    deleted bigint NOT NULL CHECK (deleted >= 0),
    changed bigint NOT NULL CHECK (changed >= 0),
    absent bigint NOT NULL CHECK (absent >= 0),
    put_back bigint NOT NULL DEFAULT 0,
    is_month_dropped boolean NOT NULL DEFAULT false,
    committed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (archive_id, chunk_number),
    CONSTRAINT import_prune_chunks_balance CHECK (rows = deleted + changed + absent)
);
COMMENT ON COLUMN import_prune_chunks.changed IS 'rows that are no longer what was archived: left where they are';

-- Putting back what a rolled back row had taken the place of.
CREATE INDEX import_conflicts_replaced ON import_conflicts (chunk_id, event_id) WHERE is_replaced;
