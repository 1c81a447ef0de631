"""Cutting a stream into records: lines, or the elements of one JSON array. Memory is bounded by one record."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from hindcast.errors import RecordError

BLOCK_BYTES: Final = 1 << 20
BOM: Final = b"\xef\xbb\xbf"
KEPT_OF_OVERSIZE: Final = 4096

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|["\[\]{},]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A record as found: `number` is its line (or element) from 1, `offset` its first byte; `fault` if it is no record.

    With a fault, `raw` may be only the beginning.
    """

    number: int
    offset: int
    raw: bytes
    fault: RecordError | None = None


@dataclass
class Progress:
    """How far reading has come: lines begun (blank ones too) and bytes consumed."""

    lines: int = 0
    bytes_read: int = 0


def iter_lines(stream: BinaryIO, start: int, end: int | None, max_bytes: int, progress: Progress) -> Iterator[RawRecord]:
    """Yield the non-blank lines whose first byte lies in `[start, end)`, in order, numbered from 1 within the range.

    The stream stands at `start`, or one byte before it when `start` > 0 (to see whether a line begins there).
    """
    reader = _LineReader(stream, max_bytes)
    offset = start
    if start > 0:
        skipped, _ = reader.skip_line()
        offset = start - 1 + skipped
    while end is None or offset < end:
        line, consumed, is_oversize = reader.read_line()
        if consumed == 0:
            return
        progress.lines += 1
        first = offset
        offset += consumed
        progress.bytes_read = offset - start
        if first == 0 and line.startswith(BOM):
            line = line[len(BOM) :]
        if is_oversize:
            limit = max_bytes // (1 << 20)
            fault = RecordError("line_too_long", f"a line of {consumed:,} bytes: expected at most {limit} MiB")
            yield RawRecord(progress.lines, first, line, fault)
        elif line and not line.isspace():
            yield RawRecord(progress.lines, first, line)


def iter_array(stream: BinaryIO, max_bytes: int, progress: Progress) -> Iterator[RawRecord]:
    """Yield the elements of the one JSON array in the stream, in order, numbered from 1.

    What follows a broken or unclosed array is one faulty record, so that it is counted.
    """
    scanner = _ArrayScanner(stream, max_bytes)
    for offset, raw, fault in scanner.elements():
        progress.lines += 1
        progress.bytes_read = offset + len(raw)
        yield RawRecord(progress.lines, offset, raw, fault)


class _LineReader:
    def __init__(self, stream: BinaryIO, max_bytes: int) -> None:
        self._stream = stream
        self._max_bytes = max_bytes
        self._block = b""
        self._at = 0

    def read_line(self) -> tuple[bytes, int, bool]:
        """The next line without its end, the bytes it took with it, and whether it is over the limit (then cut)."""
        newline = self._block.find(b"\n", self._at)
        if newline >= 0:  # the common case: the whole line is at hand
            line = self._block[self._at : newline]
            consumed = newline + 1 - self._at
            self._at = newline + 1
            if line.endswith(b"\r"):
                line = line[:-1]
            return line, consumed, consumed > self._max_bytes + 1
        return self._read_across_blocks()

    def skip_line(self) -> tuple[int, bool]:
        _, consumed, is_oversize = self.read_line()
        return consumed, is_oversize

    def _read_across_blocks(self) -> tuple[bytes, int, bool]:
        pieces = [self._block[self._at :]]
        size = len(pieces[0])
        while True:
            self._block = self._stream.read(BLOCK_BYTES)
            self._at = 0
            if not self._block:
                consumed = size
                break
            newline = self._block.find(b"\n")
            taken = self._block if newline < 0 else self._block[:newline]
            if size <= self._max_bytes:
                pieces.append(taken)
            size += len(taken)
            if newline >= 0:
                self._at = newline + 1
                consumed = size + 1
                break
        if size > self._max_bytes:
            return b"".join(pieces)[:KEPT_OF_OVERSIZE], consumed, True
        line = b"".join(pieces)
        return line[:-1] if line.endswith(b"\r") else line, consumed, False


class _ArrayScanner:
    def __init__(self, stream: BinaryIO, max_bytes: int) -> None:
        self._stream = stream
        self._max_bytes = max_bytes
        self._buffer = b""
        self._base = 0  # offset in the stream of the buffer's first byte

    def elements(self) -> Iterator[tuple[int, bytes, RecordError | None]]:
        if not self._open():
            return
        at, begin, depth = self._after_bracket, self._after_bracket, 0
        seen = False
        while True:
            token = _TOKEN.search(self._buffer, at)
            if token is None or token[0] == b'"':  # a lone quote: its string ends beyond the buffer
                at = token.start() if token else len(self._buffer)
                at, begin, more = self._refill(at, begin)
                if len(self._buffer) - begin > self._max_bytes:
                    yield self._fault(begin, "line_too_long", "an array element over the size limit; the rest is unread")
                    return
                if not more:
                    yield self._fault(begin, "malformed_json", "the array is not closed: the part ends within it")
                    return
                continue
            at = token.end()
            mark = token[0]
            if mark in (b"[", b"{"):
                depth += 1
            elif depth and mark in (b"]", b"}"):
                depth -= 1
            elif depth == 0 and mark in (b",", b"]", b"}"):
                element = self._buffer[begin : token.start()]
                if element.strip() or mark == b"," or seen:
                    yield self._base + begin, element.strip(), None
                seen = True
                begin = at
                if mark != b",":
                    yield from self._check_tail(begin)
                    return

    def _open(self) -> bool:
        self._buffer = self._stream.read(BLOCK_BYTES)
        self._after_bracket = self._buffer.find(b"[") + 1
        return self._after_bracket > 0

    def _refill(self, at: int, begin: int) -> tuple[int, int, bool]:
        block = self._stream.read(BLOCK_BYTES)
        self._buffer = self._buffer[begin:] + block
        self._base += begin
        return at - begin, 0, bool(block)

    def _fault(self, begin: int, code: str, sentence: str) -> tuple[int, bytes, RecordError]:
        return self._base + begin, self._buffer[begin : begin + KEPT_OF_OVERSIZE], RecordError(code, sentence)

    def _check_tail(self, begin: int) -> Iterator[tuple[int, bytes, RecordError]]:
        tail = self._buffer[begin:]
        while not tail.strip() and (block := self._stream.read(BLOCK_BYTES)):
            self._base += len(self._buffer)
            self._buffer, begin, tail = block, 0, block
        if tail.strip():
            yield self._fault(begin, "malformed_json", "something follows the end of the array")
