-- Events, distinct users and errors a day, place and kind of device; what a record does not say is ''.
SELECT
    (created_at AT TIME ZONE 'UTC')::date AS day,
    left(coalesce(payload #>> '{context,tags,region}', ''), 128) COLLATE "C" AS region,
    left(coalesce(payload #>> '{context,tags,country}', ''), 128) COLLATE "C" AS country,
    left(coalesce(payload #>> '{context,tags,city}', ''), 128) COLLATE "C" AS city,
    left(coalesce(payload #>> '{context,tags,device_type}', ''), 128) COLLATE "C" AS device_type,
    count(*) AS events,
    count(DISTINCT user_id COLLATE "C") AS users,
    count(*) FILTER (
        WHERE CASE
            WHEN jsonb_typeof(payload #> '{metrics,status_code}') = 'number'
                THEN (payload #> '{metrics,status_code}')::numeric >= 400
            ELSE false
        END
    ) AS errors
FROM analytics_events
WHERE created_at >= %(window_start)s
    AND created_at < %(window_end)s
    AND source = 'api_monitoring'
GROUP BY
    1,
    2,
    3,
    4,
    5
