-- Events we make from others. What is remembered counts only while the event that it names is in analytics_events:
-- so a rollback forgets, a restore remembers, and neither has to be told here.
CREATE TABLE derived_keys (
    derived_key uuid PRIMARY KEY,
    source text NOT NULL,
    event_id uuid NOT NULL,
    created_at timestamptz NOT NULL
);
COMMENT ON TABLE derived_keys IS 'events made once a key, such as one $identify for each tenant, user and device';

CREATE TABLE derived_states (
    derived_key uuid NOT NULL,
    created_at timestamptz NOT NULL,
    event_id uuid NOT NULL,
    source text NOT NULL,
    state jsonb NOT NULL,
    PRIMARY KEY (derived_key, created_at, event_id)
);
COMMENT ON TABLE derived_states IS 'what a key''s state was from then on, such as a group''s properties';
