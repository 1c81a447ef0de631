-- Events and distinct users a day, source and group.
SELECT
    (e.created_at AT TIME ZONE 'UTC')::date AS day,
    e.source COLLATE "C" AS source,
    g.key COLLATE "C" AS group_type,
    g.value COLLATE "C" AS group_key,
    count(*) AS events,
    count(DISTINCT coalesce(e.user_id, e.anonymous_id) COLLATE "C") AS users
FROM analytics_events AS e
CROSS JOIN LATERAL jsonb_each_text(
    CASE WHEN jsonb_typeof(e.payload -> '$groups') = 'object' THEN e.payload -> '$groups' ELSE '{}' END
) AS g
WHERE e.created_at >= %(window_start)s
    AND e.created_at < %(window_end)s
    AND e.source = 'amplitude'
    AND g.value IS NOT NULL
GROUP BY
    1,
    2,
    3,
    4
