-- Distinct learners, events and the mean of numeric progress a day and course.
SELECT
    (created_at AT TIME ZONE 'UTC')::date AS day,
    course_id,
    count(DISTINCT user_id) AS active_learners,
    count(*) AS events,
    avg(CASE WHEN jsonb_typeof(payload -> 'progress') = 'number' THEN (payload -> 'progress')::numeric END)
        AS avg_progress
FROM analytics_events
WHERE created_at >= %(window_start)s
    AND created_at < %(window_end)s
    AND course_id IS NOT NULL
GROUP BY
    1,
    2
