-- LLM analytics: who may capture, and which objects belong to committed events.
CREATE TABLE capture_tokens (
    token_hash text PRIMARY KEY CHECK (token_hash ~ '^[0-9a-f]{64}$'),
    team text NOT NULL CHECK (team ~ '^[A-Za-z0-9_-]{1,64}$'),
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);
COMMENT ON TABLE capture_tokens IS 'project tokens of the capture endpoint: SHA-256 only, the token itself is nowhere';

CREATE TABLE llm_objects (
    bucket text NOT NULL,
    key text NOT NULL,
    team text NOT NULL,
    event_uuid uuid NOT NULL,
    run_id uuid,
    chunk_number integer,
    size_bytes bigint NOT NULL,
    sha256 text NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'committed')),
    claim uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    committed_at timestamptz,
    PRIMARY KEY (bucket, key),
    CHECK ((state = 'committed') = (committed_at IS NOT NULL))
);
COMMENT ON TABLE llm_objects IS
    'written before an object is put, committed together with its event; what stays pending is swept';
COMMENT ON COLUMN llm_objects.run_id IS 'the import it belongs to; null: captured live';
COMMENT ON COLUMN llm_objects.claim IS 'the last writer that took it up: only that one may take it back';
CREATE INDEX llm_objects_pending ON llm_objects (created_at) WHERE state = 'pending';
CREATE INDEX llm_objects_run_id ON llm_objects (run_id) WHERE run_id IS NOT NULL;

CREATE TABLE daily_llm_usage (
    day date NOT NULL,
    team text NOT NULL,
    model text NOT NULL,
    provider text NOT NULL,
    calls bigint NOT NULL,
    input_tokens numeric NOT NULL,
    output_tokens numeric NOT NULL,
    p50_seconds numeric,
    p95_seconds numeric,
    errors bigint NOT NULL,
    bytes_offloaded numeric NOT NULL,
    PRIMARY KEY (day, team, model, provider)
);
COMMENT ON COLUMN daily_llm_usage.p95_seconds IS 'the smallest latency that at least 95 % of the calls stayed within';
