-- Requests, errors and response times an hour, environment, service and endpoint; what a record does not say is ''.
-- A request is an event with a status code. Percentiles are values that occurred: exact, and the same in every rebuild.
-- Names are cut so that they fit an index whatever a live row holds.
SELECT
    (created_at AT TIME ZONE 'UTC')::date AS day,
    date_trunc('hour', created_at, 'UTC') AS hour,
    left(coalesce(payload #>> '{source,environment}', ''), 64) COLLATE "C" AS environment,
    left(coalesce(payload #>> '{source,service}', ''), 128) COLLATE "C" AS service,
    left(coalesce(payload #>> '{source,endpoint}', ''), 256) COLLATE "C" AS endpoint,
    count(*) AS requests,
    count(*) FILTER (WHERE is_error) AS errors,
    (count(*) FILTER (WHERE is_error))::numeric / count(*) AS error_rate,
    percentile_disc(0.5) WITHIN GROUP (ORDER BY milliseconds) AS p50_ms,
    percentile_disc(0.95) WITHIN GROUP (ORDER BY milliseconds) AS p95_ms,
    percentile_disc(0.99) WITHIN GROUP (ORDER BY milliseconds) AS p99_ms
FROM (
    SELECT
        created_at,
        payload,
        (payload #> '{metrics,status_code}')::numeric >= 400 AS is_error,
        CASE
            WHEN jsonb_typeof(payload #> '{metrics,response_time_ms}') = 'number'
                THEN (payload #> '{metrics,response_time_ms}')::numeric
        END AS milliseconds
    FROM analytics_events
    WHERE created_at >= %(window_start)s
        AND created_at < %(window_end)s
        AND source = 'api_monitoring'
        AND jsonb_typeof(payload #> '{metrics,status_code}') = 'number'
) AS e
GROUP BY
    1,
    2,
    3,
    4,
    5
