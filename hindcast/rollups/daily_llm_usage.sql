-- Calls of models a day, team, model and provider: tokens, latency, errors, and the bytes kept outside the table.
-- A call is a generation or an embedding; traces and spans repeat what their calls say, so only their bytes count.
-- What is no number counts as none. Percentiles are values that occurred: exact, and the same in every rebuild.
-- Names are cut so that they fit an index whatever a live row holds.
SELECT
    (created_at AT TIME ZONE 'UTC')::date AS day,
    left(tenant, 64) COLLATE "C" AS team,
    left(coalesce(payload ->> '$ai_model', ''), 256) COLLATE "C" AS model,
    left(coalesce(payload ->> '$ai_provider', ''), 128) COLLATE "C" AS provider,
    count(*) FILTER (WHERE is_call) AS calls,
    coalesce(sum(input_tokens) FILTER (WHERE is_call), 0) AS input_tokens,
    coalesce(sum(output_tokens) FILTER (WHERE is_call), 0) AS output_tokens,
    percentile_disc(0.5) WITHIN GROUP (ORDER BY latency) FILTER (WHERE is_call) AS p50_seconds,
    percentile_disc(0.95) WITHIN GROUP (ORDER BY latency) FILTER (WHERE is_call) AS p95_seconds,
    count(*) FILTER (WHERE is_call AND is_error) AS errors,
    sum(bytes_offloaded) AS bytes_offloaded
FROM (
    SELECT
        created_at,
        tenant,
        payload,
        event_type IN ('$ai_generation', '$ai_embedding') AS is_call,
        CASE
            WHEN jsonb_typeof(payload -> '$ai_input_tokens') = 'number' THEN (payload ->> '$ai_input_tokens')::numeric
        END AS input_tokens,
        CASE
            WHEN jsonb_typeof(payload -> '$ai_output_tokens') = 'number' THEN (payload ->> '$ai_output_tokens')::numeric
        END AS output_tokens,
        CASE WHEN jsonb_typeof(payload -> '$ai_latency') = 'number' THEN (payload ->> '$ai_latency')::numeric END
            AS latency,
        payload -> '$ai_is_error' = 'true'::jsonb
        OR coalesce(payload ->> '$ai_error', '') <> ''
        OR CASE
            WHEN jsonb_typeof(payload -> '$ai_http_status') = 'number'
                THEN (payload ->> '$ai_http_status')::numeric >= 400
        END AS is_error,
        (
            SELECT coalesce(sum(reach[2]::numeric - reach[1]::numeric + 1), 0)
            FROM
                jsonb_each_text(CASE WHEN jsonb_typeof(payload) = 'object' THEN payload ELSE '{}' END) AS property,
                -- Twelve characters of digits are a terabyte; a longer text is none of our references.
                regexp_match(left(property.value, 1200), '^s3://[^/?#]+/[^?#]+\?range=(\d{1,12})-(\d{1,12})$') AS reach
            WHERE property.value LIKE 's3://%%'
        ) AS bytes_offloaded
    FROM analytics_events
    WHERE created_at >= %(window_start)s
        AND created_at < %(window_end)s
        AND source = 'llm_analytics'
) AS e
GROUP BY
    1,
    2,
    3,
    4
