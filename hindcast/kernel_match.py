"""Staged rows against the table's, compared by the compiled kernel: the server sends each row as one value."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import sql

from hindcast.kernel import _kernel
from hindcast.kernel_rows import TEXTS, to_buffers
from hindcast.staged_rows import StagedRows

EQUAL: Final = 1
UNDECIDED: Final = 2
NO_CHUNK: Final = -(1 << 63)
# All of a row in one value: psycopg then makes one object for it, not sixteen.
SELECT_SENT: Final = sql.SQL(
    "SELECT record_send(ROW(event_id, created_at, import_chunk_id, source, {}, payload::text))"
    " FROM analytics_events WHERE "
).format(sql.SQL(", ").join(map(sql.Identifier, TEXTS[:-1])))


class KernelMatches:
    """What was found so far for each of some staged rows."""

    def __init__(self, staged: StagedRows) -> None:
        count = len(staged)
        self._rows = to_buffers(staged)
        self._states = bytearray(count)
        self._chunks = bytearray(8 * count)

    def compare(self, cursor: psycopg.Cursor[Any]) -> None:
        """Compare the rows that a cursor over `SELECT_SENT` has."""
        sent = b"".join([value for (value,) in cursor.fetchall()])
        _kernel.match(self._rows, sent, self._states, self._chunks)

    @property
    def states(self) -> npt.NDArray[np.uint8]:
        """A byte a row: 0 not found, EQUAL, or UNDECIDED (found, and different or not plain)."""
        return np.frombuffer(self._states, np.uint8)

    @property
    def owners(self) -> npt.NDArray[np.int64]:
        """Where EQUAL, the import_chunk_id of the row, or NO_CHUNK."""
        return np.frombuffer(self._chunks, np.int64)
