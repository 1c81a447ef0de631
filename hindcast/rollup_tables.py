"""The rollups' tables, as SQLAlchemy Core sees them; their DDL is in the migrations, and a test compares the two."""

from typing import Final

from sqlalchemy import BigInteger, Column, Date, DateTime, Double, Numeric, SmallInteger, Table, Text
from sqlalchemy.dialects.postgresql import UUID

from hindcast.tables import metadata

daily_events: Final = Table(
    "daily_events",
    metadata,
    Column("day", Date, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("event_type", Text, primary_key=True),
    Column("events", BigInteger),
    Column("users", BigInteger),
    Column("sessions", BigInteger),
)

daily_course_engagement: Final = Table(
    "daily_course_engagement",
    metadata,
    Column("day", Date, primary_key=True),
    Column("course_id", Text, primary_key=True),
    Column("active_learners", BigInteger),
    Column("events", BigInteger),
    Column("avg_progress", Numeric),
)

daily_lesson_dropoff: Final = Table(
    "daily_lesson_dropoff",
    metadata,
    Column("day", Date, primary_key=True),
    Column("course_id", Text, primary_key=True),
    Column("lesson_id", Text, primary_key=True),
    Column("started", BigInteger),
    Column("completed", BigInteger),
)

daily_users: Final = Table(
    "daily_users",
    metadata,
    Column("source", Text, primary_key=True),
    Column("user_key", UUID(as_uuid=True), primary_key=True),
    Column("day", Date, primary_key=True),
)

first_seen_users: Final = Table(
    "first_seen_users",
    metadata,
    Column("source", Text, primary_key=True),
    Column("user_key", UUID(as_uuid=True), primary_key=True),
    Column("first_day", Date),
)

daily_active_users: Final = Table(
    "daily_active_users",
    metadata,
    Column("day", Date, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("users", BigInteger),
    Column("devices", BigInteger),
    Column("new_users", BigInteger),
)

daily_groups: Final = Table(
    "daily_groups",
    metadata,
    Column("day", Date, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("group_type", Text, primary_key=True),
    Column("group_key", Text, primary_key=True),
    Column("events", BigInteger),
    Column("users", BigInteger),
)

hourly_service_health: Final = Table(
    "hourly_service_health",
    metadata,
    Column("day", Date, primary_key=True),
    Column("hour", DateTime(timezone=True), primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("service", Text, primary_key=True),
    Column("endpoint", Text, primary_key=True),
    Column("requests", BigInteger),
    Column("errors", BigInteger),
    Column("error_rate", Numeric),
    Column("p50_ms", Numeric),
    Column("p95_ms", Numeric),
    Column("p99_ms", Numeric),
)

daily_geography: Final = Table(
    "daily_geography",
    metadata,
    Column("day", Date, primary_key=True),
    Column("region", Text, primary_key=True),
    Column("country", Text, primary_key=True),
    Column("city", Text, primary_key=True),
    Column("device_type", Text, primary_key=True),
    Column("events", BigInteger),
    Column("users", BigInteger),
    Column("errors", BigInteger),
)

daily_email_engagement: Final = Table(
    "daily_email_engagement",
    metadata,
    Column("day", Date, primary_key=True),
    Column("esp", Text, primary_key=True),
    Column("campaign_id", Text, primary_key=True),
    Column("sent", BigInteger),
    Column("delivered", BigInteger),
    Column("opened", BigInteger),
    Column("clicked", BigInteger),
    Column("bounced", BigInteger),
    Column("unsubscribed", BigInteger),
    Column("marked_spam", BigInteger),
    Column("suspected_bot_opens", BigInteger),
    Column("open_rate", Numeric),
    Column("click_rate", Numeric),
    Column("unsubscribe_rate", Numeric),
    Column("spam_rate", Numeric),
)

minute_engagement: Final = Table(
    "minute_engagement",
    metadata,
    Column("day", Date, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("minute_of_week", SmallInteger, primary_key=True),
    Column("opened", BigInteger),
    Column("clicked", BigInteger),
    Column("suspected_bot_opens", BigInteger),
)

esp_latency: Final = Table(
    "esp_latency",
    metadata,
    Column("day", Date, primary_key=True),
    Column("hour", SmallInteger, primary_key=True),
    Column("esp", Text, primary_key=True),
    Column("events", BigInteger),
    Column("p50_seconds", Double),
    Column("p95_seconds", Double),
)

daily_llm_usage: Final = Table(
    "daily_llm_usage",
    metadata,
    Column("day", Date, primary_key=True),
    Column("team", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("calls", BigInteger),
    Column("input_tokens", Numeric),
    Column("output_tokens", Numeric),
    Column("p50_seconds", Numeric),
    Column("p95_seconds", Numeric),
    Column("errors", BigInteger),
    Column("bytes_offloaded", Numeric),
)
