"""Chunks known before the export is sealed: what the gates can look at while the rest is still being staged."""

import threading
from collections.abc import Iterator

from hindcast.manifest import Chunk, iter_groups, place_chunks
from hindcast.staging import Segment


class ChunksAhead:
    """Takes segments as they are staged, in any order; gives batches of chunks in the export's. Threads may share it.

    The batches are those that `group_chunks` makes of the sealed manifest, as far as they are whole by then. Of the
    chunks, `duplicate` and `conflict` are 0: repeats are not decided yet.
    """

    def __init__(self, segments: int) -> None:
        """`segments` is how many there will be, numbered from 0."""
        self._segments: list[Segment | None] = [None] * segments
        self._is_over = False
        self._changed = threading.Condition()

    def add(self, segment: Segment) -> None:
        """A segment is staged; doing so twice is as good as once."""
        with self._changed:
            self._segments[segment.number] = segment
            self._changed.notify_all()

    def end(self) -> None:
        """Nothing more will be staged, whether all is there or not."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def batches(self, rows: int, most_bytes: int) -> Iterator[tuple[Chunk, ...]]:
        """Batches in order, waiting for each; ends after the last, or when there will be no further whole one."""
        try:
            yield from iter_groups(place_chunks(self._wait_for_each()), rows, most_bytes)
        except _BrokenOff:
            return

    def _wait_for_each(self) -> Iterator[Segment]:
        for number in range(len(self._segments)):
            with self._changed:
                while (segment := self._segments[number]) is None and not self._is_over:
                    self._changed.wait()
            if segment is None:
                raise _BrokenOff
            yield segment


class _BrokenOff(Exception):
    """The next segment will not come."""
