"""Cutting a stream into records: HTTP requests as they were captured, one after the other. Bounded by one request."""

import re
from collections.abc import Iterator
from email.message import Message
from http.client import HTTPException, parse_headers
from io import BytesIO
from typing import BinaryIO, Final

from hindcast.errors import RecordError
from hindcast.records import BLOCK_BYTES, KEPT_OF_OVERSIZE, Progress, RawRecord

LONGEST_HEAD: Final = 64 * 1024
_HEAD_END: Final = b"\r\n\r\n"
_BLANK: Final = re.compile(rb"[\r\n]*+")
_REQUEST_LINE: Final = re.compile(rb"[A-Z]{1,20} \S{1,8000} HTTP/1\.[01]\r\n")


def iter_requests(stream: BinaryIO, max_bytes: int, progress: Progress) -> Iterator[RawRecord]:
    """Yield the requests of a stream that stands at its beginning, numbered from 1: head, blank line, body.

    A body that came in chunks is put together. One without a length reaches to the end of the stream. What is no
    request is one fault, for nobody knows where the next begins.
    """
    reader = _Reader(stream)
    while reader.skip_blank():
        progress.lines += 1
        offset = reader.offset
        yield _read_request(reader, progress.lines, max_bytes)
        progress.bytes_read = reader.offset
        if reader.offset == offset:
            return
    progress.bytes_read = reader.offset


def split_head(raw: bytes) -> tuple[bytes, Message, bytes]:
    """A request's first line, headers and body; raises RecordError `malformed_request`."""
    head, _, body = raw.partition(_HEAD_END)
    line, _, rest = head.partition(b"\r\n")
    try:
        return line, parse_headers(BytesIO(rest + _HEAD_END)), body
    except HTTPException as error:
        raise RecordError("malformed_request", f"its headers cannot be read: {type(error).__name__}") from None


def _read_request(reader: "_Reader", number: int, max_bytes: int) -> RawRecord:
    offset = reader.offset
    head = reader.read_head()
    if head is None or not _REQUEST_LINE.match(head):
        kept = reader.skip_rest()
        return RawRecord(
            number,
            offset,
            kept,
            RecordError("malformed_request", "no HTTP/1.1 request begins here; the rest is skipped"),
        )
    try:
        _, headers, _ = split_head(head)
        if "chunked" in (headers["Transfer-Encoding"] or "").lower():
            body, size = reader.read_chunks(max_bytes)
        else:
            body, size = reader.read_body(_read_length(headers), max_bytes)
    except RecordError as broken:
        reader.skip_rest()
        return RawRecord(number, offset, head[:KEPT_OF_OVERSIZE], broken)
    if size > max_bytes:
        limit = max_bytes // (1 << 20)
        fault = RecordError("line_too_long", f"a request of {size:,} bytes: expected at most {limit} MiB")
        return RawRecord(number, offset, head[:KEPT_OF_OVERSIZE], fault)
    return RawRecord(number, offset, head + body)


def _read_length(headers: Message) -> int | None:
    text = headers["Content-Length"]
    if text is None:
        return None
    if not re.fullmatch(r"\d{1,18}", text.strip()):
        raise RecordError("malformed_request", "Content-Length: expected a number")
    return int(text)


class _Reader:
    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._block = b""
        self._at = self._base = 0  # the next byte in the block; the block's first byte in the stream

    @property
    def offset(self) -> int:
        """The next byte in the stream."""
        return self._base + self._at

    def skip_blank(self) -> bool:
        """Pass over line ends between requests; False at the end."""
        while True:
            blank = _BLANK.match(self._block, self._at)
            assert blank, "it matches nothing too"
            self._at = blank.end()
            if self._at < len(self._block):
                return True
            if not self._fill():
                return False

    def read_head(self) -> bytes | None:
        """The head with the blank line after it; None, and nothing read, when there is none."""
        while (end := self._block.find(_HEAD_END, self._at, self._at + LONGEST_HEAD)) < 0:
            if self._left >= LONGEST_HEAD or not self._fill():
                return None
        return self._take(end + len(_HEAD_END) - self._at)

    def read_body(self, length: int | None, max_bytes: int) -> tuple[bytes, int]:
        """So many bytes, or all there are; and how many there were, of which at most about `max_bytes` are given."""
        pieces: list[bytes] = []
        size = 0
        while length is None or size < length:
            if not self._left and not self._fill():
                if length is None:
                    break
                raise RecordError("cut_request", f"the file ends {length - size:,} bytes before the request does")
            piece = self._take(self._left if length is None else min(length - size, self._left))
            if size <= max_bytes:
                pieces.append(piece)
            size += len(piece)
        return b"".join(pieces), size

    def read_chunks(self, max_bytes: int) -> tuple[bytes, int]:
        """A chunked body put together, and its size."""
        pieces: list[bytes] = []
        size = 0
        while True:
            digits = self._read_line().partition(b";")[0].strip()
            if not re.fullmatch(rb"[0-9a-fA-F]{1,12}", digits):
                raise RecordError("malformed_request", "its chunks are not as HTTP has them")
            length = int(digits, 16)
            if not length:
                while self._read_line():  # trailers
                    pass
                return b"".join(pieces), size
            piece, taken = self.read_body(length, max(max_bytes - size, 0))
            if size <= max_bytes:
                pieces.append(piece)
            size += taken
            if self._read_line():
                raise RecordError("malformed_request", "its chunks are not as HTTP has them")

    def skip_rest(self) -> bytes:
        """Pass over all that is left; returns its beginning."""
        kept = self._block[self._at : self._at + KEPT_OF_OVERSIZE]
        while self._left or self._fill():
            self._at = len(self._block)
        return kept

    @property
    def _left(self) -> int:
        return len(self._block) - self._at

    def _read_line(self) -> bytes:
        while (end := self._block.find(b"\r\n", self._at)) < 0:
            if self._left > LONGEST_HEAD or not self._fill():
                raise RecordError("cut_request", "the file ends before the request does")
        return self._take(end + 2 - self._at)[:-2]

    def _take(self, size: int) -> bytes:
        taken = self._block[self._at : self._at + size]
        self._at += size
        return taken

    def _fill(self) -> bool:
        """Read on; what is left stays. False at the end."""
        more = self._stream.read(BLOCK_BYTES)
        if more:
            self._base += self._at
            self._block = self._block[self._at :] + more
            self._at = 0
        return bool(more)
