"""Binary COPY of staged rows, without a Python object per value where psycopg would make one."""

from struct import Struct
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.adapt import Dumper
from psycopg.pq import Format

COLUMNS: Final = (
    "event_id",
    "created_at",
    "source",
    "tenant",
    "event_type",
    "user_id",
    "anonymous_id",
    "session_id",
    "course_id",
    "lesson_id",
    "module_id",
    "user_agent",
    "payload",
    "source_event_id",
    "import_chunk_id",
    "export_line",
    "imported_at",
)
TYPES: Final = (
    "uuid",
    "timestamptz",
    *["text"] * 10,
    "jsonb",
    "text",
    "int8",
    "int8",
    "timestamptz",
)
_COPY: Final = sql.SQL("COPY analytics_events ({}) FROM STDIN (FORMAT BINARY)").format(
    sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
)
_POSTGRES_EPOCH_MICROSECONDS: Final = 946_684_800_000_000  # 2000-01-01
_pack_int64 = Struct("!q").pack


class _UuidBytes(Dumper):
    format = Format.BINARY
    oid = psycopg.adapters.types["uuid"].oid

    def dump(self, obj: Any) -> bytes:
        return bytes(obj)


class _JsonbBytes(Dumper):
    format = Format.BINARY
    oid = psycopg.adapters.types["jsonb"].oid

    def dump(self, obj: Any) -> bytes:
        return b"\x01" + bytes(obj)  # the version of jsonb's wire format, then the text


class _Microseconds(Dumper):
    format = Format.BINARY
    oid = psycopg.adapters.types["timestamptz"].oid

    def dump(self, obj: Any) -> bytes:
        return _pack_int64(obj - _POSTGRES_EPOCH_MICROSECONDS)


def copy_rows(connection: psycopg.Connection, rows: list[tuple[Any, ...]]) -> None:
    """COPY rows of COLUMNS into the events: ids are 16 bytes, instants microseconds, payloads UTF-8 JSON."""
    with connection.cursor() as cursor:
        for dumper in (_UuidBytes, _JsonbBytes, _Microseconds):
            cursor.adapters.register_dumper(None, dumper)
        with cursor.copy(_COPY) as copy:
            copy.set_types(TYPES)
            for row in rows:
                copy.write_row(row)
