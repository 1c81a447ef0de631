-- Distinct learners, events and the mean of numeric progress a day and course.
-- Progress is read below the fence (OFFSET 0): else whole payloads are sorted, and the sort spills to disk.
SELECT
    day,
    course_id,
    count(DISTINCT user_id) AS active_learners,
    count(*) AS events,
    avg(CASE WHEN jsonb_typeof(progress) = 'number' THEN progress::numeric END) AS avg_progress
FROM (
    SELECT
        (created_at AT TIME ZONE 'UTC')::date AS day,
        course_id COLLATE "C" AS course_id,
        user_id COLLATE "C" AS user_id,
        payload -> 'progress' AS progress
    FROM analytics_events
    WHERE created_at >= %(window_start)s
        AND created_at < %(window_end)s
        AND course_id IS NOT NULL
    OFFSET 0
) AS events
GROUP BY
    1,
    2
