"""Rows as the compiled kernel takes them: Arrow's own buffers."""

from typing import Any, Final

import pyarrow as pa

from hindcast.event import CONTENT_FIELDS
from hindcast.staged_rows import StagedRows, as_array

# The kernel's order of text columns (rows.h), the payload last.
TEXTS: Final = (*(name for name in CONTENT_FIELDS if name != "source"), "payload")


def to_buffers(staged: StagedRows) -> tuple[bytes, bytes, str, tuple[Any, ...]]:
    """Ids, times, source and texts of staged rows."""
    texts = tuple(text_buffers(staged.table[name]) for name in TEXTS)
    ids = staged.id_matrix.tobytes()
    return ids, staged.microseconds.tobytes(), staged.source, texts


def text_buffers(column: pa.ChunkedArray) -> tuple[object, object, object | None, int]:
    """A column of texts as the kernel takes it."""
    array = as_array(column)
    validity, ends, data = array.buffers()
    # An array without rows, or with empty ones only, may come without buffers.
    return ends or bytes(4), data or b"", validity if array.null_count else None, array.offset
