"""Cutting a stream into records: the elements of one JSON array. Memory is bounded by one record."""

import re
from collections.abc import Iterator
from typing import BinaryIO

from hindcast.errors import RecordError
from hindcast.records import BLOCK_BYTES, KEPT_OF_OVERSIZE, Progress, RawRecord

# Possessive repeats: without them a string of megabytes costs a hundred times its size in memory.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["\[\]{},]', re.DOTALL)
_STRING_REST = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)


def iter_array(stream: BinaryIO, max_bytes: int, progress: Progress) -> Iterator[RawRecord]:
    """Yield the elements of the one JSON array in the stream, in order, numbered from 1.

    What follows a broken or unclosed array is one faulty record, so that it is counted.
    """
    scanner = _ArrayScanner(stream, max_bytes)
    for offset, raw, fault in scanner.elements():
        progress.lines += 1
        progress.bytes_read = scanner.consumed
        yield RawRecord(progress.lines, offset, raw, fault)


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
