-- What became of messages a day, ESP and campaign; rates are of what was delivered that day, null where nothing was.
WITH counted AS (
    SELECT
        (created_at AT TIME ZONE 'UTC')::date AS day,
        coalesce(payload ->> 'esp', '') COLLATE "C" AS esp,
        coalesce(payload ->> 'campaign_id', '') COLLATE "C" AS campaign_id,
        count(*) FILTER (WHERE event_type = 'sent') AS sent,
        count(*) FILTER (WHERE event_type = 'delivered') AS delivered,
        count(*) FILTER (WHERE event_type = 'opened') AS opened,
        count(*) FILTER (WHERE event_type = 'clicked') AS clicked,
        count(*) FILTER (WHERE event_type = 'bounced') AS bounced,
        count(*) FILTER (WHERE event_type = 'unsubscribed') AS unsubscribed,
        count(*) FILTER (WHERE event_type = 'marked_spam') AS marked_spam,
        count(*) FILTER (WHERE event_type = 'opened' AND payload -> 'suspected_bot' = 'true') AS suspected_bot_opens
    FROM analytics_events
    WHERE created_at >= %(window_start)s
        AND created_at < %(window_end)s
        AND source = 'email_engagement'
    GROUP BY
        1,
        2,
        3
)
SELECT
    *,
    opened::numeric / nullif(delivered, 0) AS open_rate,
    clicked::numeric / nullif(delivered, 0) AS click_rate,
    unsubscribed::numeric / nullif(delivered, 0) AS unsubscribe_rate,
    marked_spam::numeric / nullif(delivered, 0) AS spam_rate
FROM counted
