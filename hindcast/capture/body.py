"""The bytes of a request: counted, inflated when the whole body is gzip, never held."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from itertools import chain
from typing import Final

from starlette.requests import Request

from hindcast.capture.inflating import Inflater
from hindcast.capture.parts import LARGEST_BODY, open_encoding, too_large
from hindcast.capture.refusal import Refused

DRAINED_BYTES: Final = 2 * LARGEST_BODY  # a refused body is read so far, so that the client hears why
IDLE_SECONDS: Final = 30.0


class Body:
    """Reads a request's body once. `begin` first, then `blocks`; after a refusal `drain`."""

    def __init__(self, request: Request) -> None:
        self._headers = request.headers
        self._chunks = aiter(request.stream())
        self._inflater: Inflater | None = None
        self._opened: Iterator[bytes] = iter(())
        self._received = 0
        self._size = 0
        self._has_ended = self._is_broken = False

    async def begin(self) -> None:
        """Check size as declared, that there is something, and that gzip begins like gzip. Raises Refused."""
        declared = self._headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > LARGEST_BODY:
            self._is_broken = True
            raise too_large()
        chunk = await self._receive()
        if not chunk:
            raise Refused(400, "body: empty")
        self._inflater = open_encoding(self._headers.get("content-encoding"))
        first = None
        while first is None and chunk:  # until the header of the gzip is known to be one
            opened = self._open(chunk)
            first = next(opened, None)
            chunk = b"" if first else await self._receive()
        if first is None:
            self._finish()
            raise Refused(400, "body: empty")
        self._opened = chain((first,), opened)

    async def blocks(self) -> AsyncIterator[bytes]:
        """The bytes as the sender meant them; raises Refused for broken gzip, too much, or a sender that stops."""
        while True:
            for block in self._opened:
                yield block
            chunk = await self._receive()
            if not chunk:
                break
            self._opened = self._open(chunk)
        self._finish()

    async def drain(self) -> Refused | None:
        """Read on after a refusal, so that its answer arrives; gives a fault of the body itself, which comes first."""
        fault: Refused | None = None
        opened = self._opened  # what was begun is read to its end, or the rest would not follow
        while self._received < DRAINED_BYTES:
            try:
                if fault is None and not self._is_broken:
                    deque(opened, maxlen=0)
                chunk = await self._receive(is_counting=False)
                if not chunk:
                    if fault is None and not self._is_broken:
                        self._finish()
                    break
                opened = self._open(chunk)
            except Refused as found:
                fault = fault or found
                if self._has_ended:
                    break
        return fault

    def _open(self, chunk: bytes) -> Iterator[bytes]:
        """A chunk as blocks, one at a time. At most LARGEST_BODY is ever given, whatever a chunk inflates to."""
        try:
            for block in self._inflater.feed(chunk) if self._inflater else (chunk,):
                self._size += len(block)
                if self._size > LARGEST_BODY:
                    raise too_large()
                yield block
        except Refused:
            self._is_broken = True
            raise

    def _finish(self) -> None:
        if self._inflater:
            self._inflater.finish()

    async def _receive(self, is_counting: bool = True) -> bytes:
        """The next bytes, none at the end."""
        while not self._has_ended:
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    chunk = await anext(self._chunks, None)
            except TimeoutError:
                self._has_ended = self._is_broken = True
                raise Refused(400, f"body: nothing more came for {IDLE_SECONDS:.0f} s") from None
            if chunk is None:
                self._has_ended = True
                break
            self._received += len(chunk)
            if is_counting and self._received > LARGEST_BODY:
                self._is_broken = True
                raise too_large()
            if chunk:
                return chunk
        return b""
