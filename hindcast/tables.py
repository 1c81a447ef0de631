"""The tables, as SQLAlchemy Core sees them. Their DDL is in the migrations; a test compares the two."""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Date, DateTime, Double, Integer, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

metadata: Final = MetaData()


def _instant(name: str, **options: object) -> "Column[object]":
    return Column(name, DateTime(timezone=True), **options)  # type: ignore[arg-type]


analytics_events: Final = Table(
    "analytics_events",
    metadata,
    Column("event_id", UUID(as_uuid=True), primary_key=True),
    Column("created_at", DateTime(timezone=True), primary_key=True, key="occurred_at"),
    Column("source", Text),
    Column("tenant", Text),
    Column("event_type", Text),
    Column("user_id", Text),
    Column("anonymous_id", Text),
    Column("session_id", Text),
    Column("course_id", Text),
    Column("lesson_id", Text),
    Column("module_id", Text),
    Column("user_agent", Text),
    Column("payload", JSONB),
    Column("source_event_id", Text),
    Column("import_chunk_id", BigInteger),
    Column("export_line", BigInteger),
    _instant("imported_at"),
)

import_runs: Final = Table(
    "import_runs",
    metadata,
    Column("run_id", UUID(as_uuid=True), primary_key=True),
    Column("dataset", Text),
    Column("format", Text),
    Column("export", Text),
    Column("tenant", Text),
    Column("operator", Text),
    _instant("window_start"),
    _instant("window_end"),
    Column("status", Text),
    _instant("started_at"),
    _instant("finished_at"),
    Column("attempts", Integer),
    Column("plan_hash", Text),
    Column("manifest_seal", Text),
    Column("counts", JSONB),
    Column("gates", JSONB),
    Column("report", JSONB),
    Column("error", Text),
)

import_parts: Final = Table(
    "import_parts",
    metadata,
    Column("run_id", UUID(as_uuid=True), primary_key=True),
    Column("part", Text, primary_key=True),
    Column("size_bytes", BigInteger),
    Column("fingerprint", Text),
    Column("lines", BigInteger),
    Column("kept_as", Text),
)

import_chunks: Final = Table(
    "import_chunks",
    metadata,
    Column("chunk_id", BigInteger, primary_key=True),
    Column("run_id", UUID(as_uuid=True)),
    Column("chunk_number", Integer),
    Column("part", Text),
    Column("first_line", BigInteger),
    Column("last_line", BigInteger),
    Column("first_byte", BigInteger),
    Column("last_byte", BigInteger),
    Column("lines", BigInteger),
    Column("loaded", BigInteger),
    Column("derived", BigInteger),
    Column("duplicate", BigInteger),
    Column("conflict", BigInteger),
    Column("rejected", BigInteger),
    Column("skipped", BigInteger),
    Column("out_of_window", BigInteger),
    Column("sanitised", BigInteger),
    Column("digest", Text),
    Column("days", ARRAY(Date)),
    _instant("committed_at"),
)

import_rejects: Final = Table(
    "import_rejects",
    metadata,
    Column("run_id", UUID(as_uuid=True), primary_key=True),
    Column("part", Text, primary_key=True),
    Column("line", BigInteger, primary_key=True),
    Column("byte_offset", BigInteger),
    Column("code", Text),
    Column("sentence", Text),
    Column("raw", Text),
)

import_conflicts: Final = Table(
    "import_conflicts",
    metadata,
    Column("run_id", UUID(as_uuid=True), primary_key=True),
    Column("part", Text, primary_key=True),
    Column("line", BigInteger, primary_key=True),
    Column("chunk_id", BigInteger),
    Column("event_id", UUID(as_uuid=True)),
    Column("against", Text),
    Column("fields", JSONB),
    Column("is_replaced", Boolean),
    Column("previous_row", JSONB),
)

import_archives: Final = Table(
    "import_archives",
    metadata,
    Column("archive_id", UUID(as_uuid=True), primary_key=True),
    Column("operation", Text),
    Column("selection", JSONB),
    Column("run_id", UUID(as_uuid=True)),
    Column("run_status", Text),
    Column("operator", Text),
    Column("status", Text),
    Column("uri", Text),
    Column("rows", BigInteger),
    Column("digest", Text),
    Column("live_rows", BigInteger),
    Column("put_back", BigInteger),
    Column("days", ARRAY(Date)),
    Column("months", JSONB),
    _instant("created_at"),
    _instant("finished_at"),
    _instant("restored_at"),
    Column("report", JSONB),
    Column("error", Text),
)

import_archive_files: Final = Table(
    "import_archive_files",
    metadata,
    Column("archive_id", UUID(as_uuid=True), primary_key=True),
    Column("file", Text, primary_key=True),
    Column("month", Date),
    Column("rows", BigInteger),
    Column("digest", Text),
    Column("sha256", Text),
    Column("size_bytes", BigInteger),
)

import_prune_months: Final = Table(
    "import_prune_months",
    metadata,
    Column("archive_id", UUID(as_uuid=True), primary_key=True),
    Column("month", Date, primary_key=True),
    Column("rows", BigInteger),
    Column("digest", Text),
    Column("state", Text),
)

import_prune_chunks: Final = Table(
    "import_prune_chunks",
    metadata,
    Column("archive_id", UUID(as_uuid=True), primary_key=True),
    Column("chunk_number", Integer, primary_key=True),
    Column("rows", BigInteger),
    Column("deleted", BigInteger),
    Column("changed", BigInteger),
    Column("absent", BigInteger),
    Column("put_back", BigInteger),
    Column("is_month_dropped", Boolean),
    _instant("committed_at"),
)

import_governor: Final = Table(
    "import_governor",
    metadata,
    Column("decision_id", BigInteger, primary_key=True),
    Column("run_id", UUID(as_uuid=True)),
    _instant("decided_at"),
    Column("action", Text),
    Column("signal", Text),
    Column("value", Double),
    Column("limit_value", Double),
    Column("unit", Text),
    Column("rows_per_second", Double),
    Column("bytes_per_second", Double),
    Column("reason", Text),
)

derived_keys: Final = Table(
    "derived_keys",
    metadata,
    Column("derived_key", UUID(as_uuid=True), primary_key=True),
    Column("source", Text),
    Column("event_id", UUID(as_uuid=True)),
    _instant("created_at"),
)

derived_states: Final = Table(
    "derived_states",
    metadata,
    Column("derived_key", UUID(as_uuid=True), primary_key=True),
    _instant("created_at", primary_key=True),
    Column("event_id", UUID(as_uuid=True), primary_key=True),
    Column("source", Text),
    Column("state", JSONB),
)

capture_tokens: Final = Table(
    "capture_tokens",
    metadata,
    Column("token_hash", Text, primary_key=True),
    Column("team", Text),
    Column("name", Text),
    _instant("created_at"),
    _instant("revoked_at"),
)

llm_objects: Final = Table(
    "llm_objects",
    metadata,
    Column("bucket", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("team", Text),
    Column("event_uuid", UUID(as_uuid=True)),
    Column("run_id", UUID(as_uuid=True)),
    Column("chunk_number", Integer),
    Column("size_bytes", BigInteger),
    Column("sha256", Text),
    Column("state", Text),
    Column("claim", UUID(as_uuid=True)),
    _instant("created_at"),
    _instant("committed_at"),
)
