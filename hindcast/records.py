"""Cutting a stream into records: lines, or the elements of one JSON array. Memory is bounded by one record."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final, NamedTuple

from hindcast.errors import RecordError

BLOCK_BYTES: Final = 1 << 20
BOM: Final = b"\xef\xbb\xbf"
KEPT_OF_OVERSIZE: Final = 4096

# Possessive repeats: without them a string of megabytes costs a hundred times its size in memory.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["\[\]{},]', re.DOTALL)
_STRING_REST = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)


class RawRecord(NamedTuple):
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


def iter_lines(
    stream: BinaryIO, start: int, end: int | None, max_bytes: int, progress: Progress
) -> Iterator[RawRecord]:
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
        progress.bytes_read = scanner.consumed
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


_Element = tuple[int, bytes, RecordError | None]


class _ArrayScanner:
    """Steps through the array's marks outside strings. What an oversize element holds is dropped as it is read."""

    def __init__(self, stream: BinaryIO, max_bytes: int) -> None:
        self._stream = stream
        self._max_bytes = max_bytes
        self._buffer = b""
        self._base = 0  # offset in the stream of the buffer's first byte
        self._begin = 0  # where in the buffer the element begins
        self._at = 0
        self._oversize: tuple[int, bytes] | None = None  # offset and beginning of an element being dropped
        self._is_in_string = False  # only in an oversize element

    @property
    def consumed(self) -> int:
        """Bytes of the stream stepped over."""
        return self._base + self._at

    def elements(self) -> Iterator[_Element]:
        self._buffer = self._stream.read(BLOCK_BYTES)
        self._at = self._begin = self._buffer.find(b"[") + 1
        if not self._at:
            return
        depth = 0
        has_comma = False
        while mark := self._next_mark():
            if mark in b"[{":
                depth += 1
            elif depth:
                depth -= mark in b"]}"
            elif mark in b",]":
                element = self._take_element()
                if element[1] or mark == b"," or has_comma:
                    yield element
                has_comma = True
                if mark == b"]":
                    yield from self._check_tail()
                    return
        self._at = len(self._buffer)
        yield self._fault("malformed_json", "the array is not closed: the part ends within it")

    def _next_mark(self) -> bytes:
        while True:
            if self._is_in_string:
                self._skip_string()
            token = None if self._is_in_string else _TOKEN.search(self._buffer, self._at)
            if token is None or token[0] == b'"':  # a lone quote: its string ends beyond the buffer
                if not self._is_in_string:
                    self._at = token.start() if token else len(self._buffer)
                if token and self._oversize:
                    self._at += 1
                    self._is_in_string = True
                elif not self._refill():
                    return b""
                continue
            self._at = token.end()
            if not token[0].startswith(b'"'):
                return token[0]

    def _skip_string(self) -> None:
        rest = _STRING_REST.match(self._buffer, self._at)
        assert rest, "it matches nothing too"
        self._at = rest.end()
        if self._buffer.startswith(b'"', self._at):
            self._at += 1
            self._is_in_string = False

    def _refill(self) -> bool:
        if not self._oversize and len(self._buffer) - self._begin > self._max_bytes:
            kept = self._buffer[self._begin : self._begin + KEPT_OF_OVERSIZE]
            blank = len(kept) - len(kept.lstrip())
            self._oversize = (self._base + self._begin + blank, kept.strip())
        keep_from = self._at if self._oversize else self._begin
        block = self._stream.read(BLOCK_BYTES)
        self._buffer = self._buffer[keep_from:] + block
        self._base += keep_from
        self._at -= keep_from
        self._begin = 0
        return bool(block)

    def _take_element(self) -> _Element:
        if self._oversize:
            offset, raw = self._oversize
            is_oversize = True
        else:
            whole = self._buffer[self._begin : self._at - 1]
            raw = whole.strip()
            offset = self._base + self._begin + len(whole) - len(whole.lstrip())
            is_oversize = len(raw) > self._max_bytes
        self._begin, self._oversize = self._at, None
        if not is_oversize:
            return offset, raw, None
        limit = self._max_bytes // (1 << 20)
        sentence = f"an array element over the size limit: expected at most {limit} MiB"
        return offset, raw[:KEPT_OF_OVERSIZE], RecordError("line_too_long", sentence)

    def _fault(self, code: str, sentence: str) -> _Element:
        kept = self._buffer[self._begin : self._begin + KEPT_OF_OVERSIZE]
        return self._base + self._begin, kept, RecordError(code, sentence)

    def _check_tail(self) -> Iterator[_Element]:
        while not self._buffer[self._begin :].strip():
            block = self._stream.read(BLOCK_BYTES)
            if not block:
                return
            self._base += len(self._buffer)
            self._buffer, self._begin, self._at = block, 0, len(block)
        yield self._fault("malformed_json", "something follows the end of the array")
