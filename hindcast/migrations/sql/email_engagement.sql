-- Which person an identifier belongs to. Only hashes: the key is of (tenant, kind, value), and the value itself is a
-- hash where it is personal. Kept when a run is rolled back: a person is the same person in the next import.
CREATE TABLE identity_links (
    identifier_key uuid PRIMARY KEY,
    tenant text NOT NULL,
    kind text NOT NULL,
    universal_id text NOT NULL,
    confidence numeric NOT NULL,
    first_seen timestamptz NOT NULL,
    linked_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX identity_links_universal_id ON identity_links (tenant, universal_id);

CREATE TABLE daily_email_engagement (
    day date NOT NULL,
    esp text NOT NULL,
    campaign_id text NOT NULL,
    sent bigint NOT NULL,
    delivered bigint NOT NULL,
    opened bigint NOT NULL,
    clicked bigint NOT NULL,
    bounced bigint NOT NULL,
    unsubscribed bigint NOT NULL,
    marked_spam bigint NOT NULL,
    suspected_bot_opens bigint NOT NULL,
    open_rate numeric,
    click_rate numeric,
    unsubscribe_rate numeric,
    spam_rate numeric,
    PRIMARY KEY (day, esp, campaign_id)
);

CREATE TABLE minute_engagement (
    day date NOT NULL,
    user_id text NOT NULL,
    minute_of_week smallint NOT NULL,
    opened bigint NOT NULL,
    clicked bigint NOT NULL,
    suspected_bot_opens bigint NOT NULL,
    PRIMARY KEY (day, user_id, minute_of_week)
);

CREATE INDEX minute_engagement_user_id ON minute_engagement (user_id);

CREATE TABLE esp_latency (
    day date NOT NULL,
    hour smallint NOT NULL,
    esp text NOT NULL,
    events bigint NOT NULL,
    p50_seconds double precision NOT NULL,
    p95_seconds double precision NOT NULL,
    PRIMARY KEY (day, hour, esp)
);

-- All time, by campaign: true fractions of what was delivered, null where nothing was.
CREATE VIEW campaign_engagement AS
SELECT
    esp,
    campaign_id,
    sum(sent) AS sent,
    sum(delivered) AS delivered,
    sum(opened) AS opened,
    sum(clicked) AS clicked,
    sum(bounced) AS bounced,
    sum(unsubscribed) AS unsubscribed,
    sum(marked_spam) AS marked_spam,
    sum(suspected_bot_opens) AS suspected_bot_opens,
    sum(opened) / nullif(sum(delivered), 0) AS open_rate,
    sum(clicked) / nullif(sum(delivered), 0) AS click_rate
FROM daily_email_engagement
GROUP BY
    esp,
    campaign_id;

-- When in the week a person reads: minute 0 is Monday 00:00 UTC; opens that a machine seems to have made do not count.
CREATE VIEW engagement_profile AS
SELECT
    user_id,
    minute_of_week,
    sum(opened - suspected_bot_opens) AS opened,
    sum(clicked) AS clicked,
    sum(sum(opened - suspected_bot_opens) + sum(clicked)) OVER (PARTITION BY user_id) AS of_all_week
FROM minute_engagement
GROUP BY
    user_id,
    minute_of_week;
