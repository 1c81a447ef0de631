"""The rollups' tables, as SQLAlchemy Core sees them; their DDL is in the migrations, and a test compares the two."""

from typing import Final

from sqlalchemy import BigInteger, Column, Date, Numeric, Table, Text

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
