-- Opens and clicks a day, person and minute of the week: 0 is Monday 00:00 UTC, 10079 is Sunday 23:59.
SELECT
    (created_at AT TIME ZONE 'UTC')::date AS day,
    user_id COLLATE "C" AS user_id,
    (
        (extract(isodow FROM created_at AT TIME ZONE 'UTC') - 1) * 1440
        + extract(hour FROM created_at AT TIME ZONE 'UTC') * 60
        + extract(minute FROM created_at AT TIME ZONE 'UTC')
    )::smallint AS minute_of_week,
    count(*) FILTER (WHERE event_type = 'opened') AS opened,
    count(*) FILTER (WHERE event_type = 'clicked') AS clicked,
    count(*) FILTER (WHERE event_type = 'opened' AND payload -> 'suspected_bot' = 'true') AS suspected_bot_opens
FROM analytics_events
WHERE created_at >= %(window_start)s
    AND created_at < %(window_end)s
    AND source = 'email_engagement'
    AND user_id IS NOT NULL
    AND event_type IN ('opened', 'clicked')
GROUP BY
    1,
    2,
    3
