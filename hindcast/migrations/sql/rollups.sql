CREATE TABLE daily_events (
    day date NOT NULL,
    source text NOT NULL,
    event_type text NOT NULL,
    events bigint NOT NULL,
    users bigint NOT NULL,
    sessions bigint NOT NULL,
    PRIMARY KEY (day, source, event_type)
);

CREATE TABLE daily_course_engagement (
    day date NOT NULL,
    course_id text NOT NULL,
    active_learners bigint NOT NULL,
    events bigint NOT NULL,
    avg_progress numeric,
    PRIMARY KEY (day, course_id)
);

CREATE TABLE daily_lesson_dropoff (
    day date NOT NULL,
    course_id text NOT NULL,
    lesson_id text NOT NULL,
    started bigint NOT NULL,
    completed bigint NOT NULL,
    PRIMARY KEY (day, course_id, lesson_id)
);

-- All time: a true fraction, not the quotient of two integers.
CREATE VIEW lesson_dropoff AS
SELECT
    course_id,
    lesson_id,
    sum(started) AS started,
    sum(completed) AS completed,
    sum(completed) / nullif(sum(started), 0) AS completion_rate,
    1 - sum(completed) / nullif(sum(started), 0) AS dropoff_rate
FROM daily_lesson_dropoff
GROUP BY
    course_id,
    lesson_id;
