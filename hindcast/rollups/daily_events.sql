-- Events, distinct users and distinct sessions a day, source and event type.
SELECT
    (created_at AT TIME ZONE 'UTC')::date AS day,
    source,
    event_type,
    count(*) AS events,
    count(DISTINCT user_id) AS users,
    count(DISTINCT session_id) AS sessions
FROM analytics_events
WHERE created_at >= %(window_start)s
    AND created_at < %(window_end)s
GROUP BY
    1,
    2,
    3
