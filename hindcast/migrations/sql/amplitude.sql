-- Product analytics: who was active, for the first time or not, and for which group.
CREATE TABLE daily_users (
    source text NOT NULL,
    user_key uuid NOT NULL,
    day date NOT NULL,
    PRIMARY KEY (source, user_key, day)
);
CREATE INDEX daily_users_day ON daily_users (day);
COMMENT ON TABLE daily_users IS 'who was active on a day; user_key is derived from tenant and user id';

CREATE TABLE first_seen_users (
    source text NOT NULL,
    user_key uuid NOT NULL,
    first_day date NOT NULL,
    PRIMARY KEY (source, user_key)
);
CREATE INDEX first_seen_users_first_day ON first_seen_users (first_day);
COMMENT ON TABLE first_seen_users IS 'the first day a user was active, of all that is in analytics_events now';

CREATE TABLE daily_active_users (
    day date NOT NULL,
    source text NOT NULL,
    users bigint NOT NULL,
    devices bigint NOT NULL,
    new_users bigint NOT NULL,
    PRIMARY KEY (day, source)
);

CREATE TABLE daily_groups (
    day date NOT NULL,
    source text NOT NULL,
    group_type text NOT NULL,
    group_key text NOT NULL,
    events bigint NOT NULL,
    users bigint NOT NULL,
    PRIMARY KEY (day, source, group_type, group_key)
);
