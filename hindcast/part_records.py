"""The records of a part, whatever it is made of: lines, the elements of an array, captured requests."""

from collections.abc import Iterator
from typing import BinaryIO

from hindcast.array_records import iter_array
from hindcast.export import Part
from hindcast.records import Progress, RawRecord, iter_lines
from hindcast.request_records import iter_requests


def iter_records(part: Part, stream: BinaryIO, max_bytes: int, progress: Progress | None = None) -> Iterator[RawRecord]:
    """Yield the records of a part, from a stream that stands at its beginning, in order, numbered from 1."""
    progress = progress or Progress()
    if part.is_array:
        return iter_array(stream, max_bytes, progress)
    if part.is_requests:
        return iter_requests(stream, max_bytes, progress)
    return iter_lines(stream, 0, None, max_bytes, progress)
