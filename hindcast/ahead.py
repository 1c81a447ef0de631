"""Chunks known before the export is sealed: what the gates can look at while the rest is still being staged."""

import threading
from collections.abc import Iterator

from hindcast.manifest import Chunk, group_chunks, place_chunks
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
        given = 0
        while True:
            chunks, is_all = self._wait_beyond(given, rows, most_bytes)
            groups = group_chunks(chunks, range(given, len(chunks)), rows, most_bytes)
            whole = groups if is_all else groups[:-1]
            for group in whole:
                given += len(group)
                yield tuple(chunks[number] for number in group)
            if is_all or not whole:
                return

    def _wait_beyond(self, given: int, rows: int, most_bytes: int) -> tuple[list[Chunk], bool]:
        """The chunks so far, once they make a batch beyond those given; and whether they are all."""
        with self._changed:
            while True:
                chunks, is_all = self._chunks_so_far()
                is_whole = len(group_chunks(chunks, range(given, len(chunks)), rows, most_bytes)) > 1
                if is_all or is_whole or self._is_over:
                    return chunks, is_all
                self._changed.wait()

    def _chunks_so_far(self) -> tuple[list[Chunk], bool]:
        first = next((n for n, segment in enumerate(self._segments) if segment is None), len(self._segments))
        known = [segment for segment in self._segments[:first] if segment]
        return place_chunks(known), len(known) == len(self._segments)
