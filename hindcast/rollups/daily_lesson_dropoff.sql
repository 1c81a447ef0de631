-- Lessons started and completed a day, course and lesson; a lesson outside any course has course ''.
SELECT
    (created_at AT TIME ZONE 'UTC')::date AS day,
    coalesce(course_id, '') COLLATE "C" AS course_id,
    lesson_id COLLATE "C" AS lesson_id,
    count(*) FILTER (WHERE event_type = 'lesson_started') AS started,
    count(*) FILTER (WHERE event_type = 'lesson_completed') AS completed
FROM analytics_events
WHERE created_at >= %(window_start)s
    AND created_at < %(window_end)s
    AND lesson_id IS NOT NULL
    AND event_type IN ('lesson_started', 'lesson_completed')
GROUP BY
    1,
    2,
    3
