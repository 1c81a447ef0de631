-- How long ESPs took an hour, by metadata.latency_seconds where it is a number of seconds up to 30 days.
WITH latencies AS (
    SELECT
        created_at AT TIME ZONE 'UTC' AS happened_at,
        coalesce(payload ->> 'esp', '') COLLATE "C" AS esp,
        CASE
            WHEN jsonb_typeof(payload #> '{metadata,latency_seconds}') = 'number'
                THEN (payload #>> '{metadata,latency_seconds}')::numeric
        END AS latency_seconds
    FROM analytics_events
    WHERE created_at >= %(window_start)s
        AND created_at < %(window_end)s
        AND source = 'email_engagement'
)
SELECT
    happened_at::date AS day,
    extract(hour FROM happened_at)::smallint AS hour,
    esp,
    count(*) AS events,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY latency_seconds::double precision) AS p50_seconds,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_seconds::double precision) AS p95_seconds
FROM latencies
WHERE latency_seconds BETWEEN 0 AND 2592000
GROUP BY
    1,
    2,
    3
