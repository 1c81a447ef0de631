-- Distinct users and devices a day and source, and the users never seen before.
SELECT
    d.day,
    d.source,
    d.users,
    d.devices,
    (SELECT count(*) FROM first_seen_users AS f WHERE f.source = d.source AND f.first_day = d.day) AS new_users
FROM (
    SELECT
        (created_at AT TIME ZONE 'UTC')::date AS day,
        source,
        count(DISTINCT (tenant COLLATE "C", user_id COLLATE "C")) FILTER (WHERE user_id IS NOT NULL) AS users,
        count(DISTINCT (tenant COLLATE "C", anonymous_id COLLATE "C")) FILTER (WHERE anonymous_id IS NOT NULL) AS devices
    FROM analytics_events
    WHERE created_at >= %(window_start)s
        AND created_at < %(window_end)s
        AND source = 'amplitude'
    GROUP BY
        1,
        2
) AS d
