"""Digests of whole rows, equal whether the server computes them from the table or we from archived bytes.

A row's text is PostgreSQL's own text of the row, `(a,"b c",,"")`; its hash the first 16 bytes of that text's SHA-256.
The digest of a set of rows is the sum of its hashes as two 64-bit numbers: of no order, and flat in memory.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import numpy as np
import psycopg
from psycopg import sql

HASH_BYTES: Final = 16
_MASK: Final = (1 << 64) - 1
_needs_quotes = re.compile(r'[ \t\n\v\f\r"\\(),]').search
# Of a column `row_hash`; a fence (OFFSET 0) around its making lets each row be hashed once.
SUMS: Final = sql.SQL(
    "sum(('x' || encode(substring(row_hash FROM 1 FOR 8), 'hex'))::bit(64)::bigint),"
    " sum(('x' || encode(substring(row_hash FROM 9 FOR 8), 'hex'))::bit(64)::bigint)"
)


@dataclass
class Digest:
    """Digest of a set of rows so far."""

    rows: int = 0
    high: int = 0
    low: int = 0

    def add_hashes(self, hashes: bytes) -> None:
        """Count rows in by their hashes, one behind the other."""
        words = np.frombuffer(hashes, ">u8").reshape(-1, 2).astype(np.uint64)
        high, low = words.sum(axis=0, dtype=np.uint64).tolist()  # wraps at 64 bits, as meant
        self.add_sums(len(words), high, low)

    def add_sums(self, rows: int, high: int, low: int) -> None:
        """Count rows in by the sums that the server made of their hashes (`SUMS`)."""
        self.rows += rows
        self.high = (self.high + int(high)) & _MASK
        self.low = (self.low + int(low)) & _MASK

    @property
    def text(self) -> str:
        """32 hexadecimal digits."""
        return f"{self.high:016x}{self.low:016x}"


def hash_row(values: Sequence[str | None]) -> bytes:
    """The hash of a row given as PostgreSQL's texts of its columns."""
    fields = ["" if value is None else _quote(value) for value in values]
    return sha256(f"({','.join(fields)})".encode()).digest()[:HASH_BYTES]


def row_hash(columns: Sequence[str], alias: str) -> sql.Composed:
    """The server's expression for the hash of a row of `alias`, in a session that writes values in `SESSION`'s form."""
    row = sql.SQL(", ").join(sql.Identifier(alias, name) for name in columns)
    return sql.SQL("substring(sha256(convert_to(ROW({})::text, 'UTF8')) FROM 1 FOR {})").format(
        row, sql.Literal(HASH_BYTES)
    )


def table_columns(connection: psycopg.Connection) -> tuple[str, ...]:
    """Every stored column of `analytics_events`, those of an adopted table included, in the table's order."""
    rows = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'analytics_events'::regclass"
        " AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum"
    )
    return tuple(str(name) for (name,) in rows)


def _quote(value: str) -> str:
    if value and not _needs_quotes(value):
        return value
    doubled = value.replace("\\", "\\\\").replace('"', '""')
    return f'"{doubled}"'
