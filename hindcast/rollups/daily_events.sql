-- Events, distinct users and distinct sessions a day, source and event type.
-- Source and type are grouped as one text (its first number tells where the type begins): a third less to sort by.
SELECT
    day,
    substr(kind, strpos(kind, ':') + 1, split_part(kind, ':', 1)::int) AS source,
    substr(kind, strpos(kind, ':') + 1 + split_part(kind, ':', 1)::int) AS event_type,
    events,
    users,
    sessions
FROM (
    SELECT
        day,
        kind,
        count(*) AS events,
        count(DISTINCT user_id) AS users,
        count(DISTINCT session_id) AS sessions
    FROM (
        SELECT
            (created_at AT TIME ZONE 'UTC')::date AS day,
            (length(source) || ':' || source || event_type) COLLATE "C" AS kind,
            user_id COLLATE "C" AS user_id,
            session_id COLLATE "C" AS session_id
        FROM analytics_events
        WHERE created_at >= %(window_start)s
            AND created_at < %(window_end)s
    ) AS events
    GROUP BY
        1,
        2
) AS counted
