-- Requests, errors and response times an hour, environment, service and endpoint; what a record does not say is ''.
-- Percentiles are values that occurred: exact, and the same in every rebuild.
SELECT
    (created_at AT TIME ZONE 'UTC')::date AS day,
    date_trunc('hour', created_at, 'UTC') AS hour,
    coalesce(payload #>> '{source,environment}', '') AS environment,
    coalesce(payload #>> '{source,service}', '') AS service,
    coalesce(payload #>> '{source,endpoint}', '') AS endpoint,
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
        CASE
            WHEN jsonb_typeof(payload #> '{metrics,status_code}') = 'number'
                THEN (payload #> '{metrics,status_code}')::numeric >= 400
            ELSE false
        END AS is_error,
        CASE
            WHEN jsonb_typeof(payload #> '{metrics,response_time_ms}') = 'number'
                THEN (payload #> '{metrics,response_time_ms}')::numeric
        END AS milliseconds
    FROM analytics_events
    WHERE created_at >= %(window_start)s
        AND created_at < %(window_end)s
        AND source = 'api_monitoring'
) AS e
GROUP BY
    1,
    2,
    3,
    4,
    5
