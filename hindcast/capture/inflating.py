"""Inflating gzip as it comes, a bounded block at a time, whatever it promises."""

import zlib
from collections.abc import Iterator
from typing import Final

from hindcast.capture.refusal import Refused

BLOCK_BYTES: Final = 64 * 1024
_GZIP: Final = 31  # zlib's window bits for gzip


class Inflater:
    """Gzip of one member or several. `place` begins the sentences of what is wrong with it."""

    def __init__(self, place: str, largest: int) -> None:
        self._place, self._largest = place, largest
        self._member = zlib.decompressobj(_GZIP)
        self._has_begun = False
        self.size = 0  # bytes given so far

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Blocks of at most BLOCK_BYTES; raises Refused 400 for what is no gzip, 413 for too much."""
        while data:
            if self._member.eof:
                self._member = zlib.decompressobj(_GZIP)
            self._has_begun = True
            try:
                block = self._member.decompress(data, BLOCK_BYTES)
            except zlib.error:
                raise Refused(400, f"{self._place}: not gzip, though its Content-Encoding says so") from None
            self.size += len(block)
            if self.size > self._largest:
                raise Refused(413, f"{self._place}: inflates to over {self._largest:,} bytes")
            if block:
                yield block
            data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail

    def finish(self) -> None:
        """Raise Refused 400 when the last member is not whole."""
        if not (self._has_begun and self._member.eof):
            raise Refused(400, f"{self._place}: gzip that ends too early")
