"""Cutting a stream into records: its lines. Memory is bounded by one record."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import BinaryIO, Final, NamedTuple

from hindcast.errors import RecordError
from hindcast.kernel import _kernel, has_kernel

BLOCK_BYTES: Final = 1 << 20
BOM: Final = b"\xef\xbb\xbf"
KEPT_OF_OVERSIZE: Final = 4096


class RawRecord(NamedTuple):
    """A record as found: `number` is its line (or element) from 1, `offset` its first byte; `fault` if it is no record.

    With a fault, `raw` may be only the beginning.
    """

    number: int
    offset: int
    raw: bytes
    fault: RecordError | None = None


class Batch(NamedTuple):
    """Some records in order, as three columns; a faulty record is a batch of its own."""

    numbers: Sequence[int]
    offsets: Sequence[int]
    raws: Sequence[bytes]
    fault: RecordError | None = None

    @staticmethod
    def of(record: RawRecord) -> "Batch":
        """A batch of one."""
        return Batch((record.number,), (record.offset,), (record.raw,), record.fault)

    def listed(self) -> "Batch":
        """The same, its columns lists."""
        return Batch(list(self.numbers), list(self.offsets), list(self.raws), self.fault)

    def cut(self, first: int, end: int | None = None) -> "Batch":
        """The records from `first` on, before `end`."""
        return Batch(self.numbers[first:end], self.offsets[first:end], self.raws[first:end], self.fault)


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
    offset = start - 1 + reader.skip_line() if start > 0 else 0
    while end is None or offset < end:
        first = offset
        offset, record = _read_record(reader, offset, progress)
        if offset == first:
            return
        progress.bytes_read = offset - start
        if record:
            yield record


def iter_batches(stream: BinaryIO, start: int, end: int | None, max_bytes: int, progress: Progress) -> Iterator[Batch]:
    """The records of `iter_lines`, as many at once as a block holds: a line then costs a tenth."""
    reader = _LineReader(stream, max_bytes)
    cut = _cut_by_kernel if has_kernel() else _cut
    offset = start - 1 + reader.skip_line() if start > 0 else 0
    while end is None or offset < end:
        first = offset
        block = reader.take_lines() if offset else None  # the first line of all may begin with a byte order mark
        if block:
            batch, offset, passed = cut(block, offset, progress.lines, end)
            progress.lines += passed
        else:
            offset, record = _read_record(reader, offset, progress)
            if offset == first:
                return
            batch = Batch.of(record) if record else Batch((), (), ())
        progress.bytes_read = offset - start
        if batch.raws:
            yield batch


def _read_record(reader: "_LineReader", offset: int, progress: Progress) -> tuple[int, RawRecord | None]:
    """The line at `offset` (None when it is blank) and where the next begins; that is `offset` itself at the end."""
    line, consumed, is_oversize = reader.read_line()
    progress.lines += bool(consumed)
    if offset == 0 and line.startswith(BOM):
        line = line[len(BOM) :]
    if is_oversize:
        limit = reader.max_bytes // (1 << 20)
        fault = RecordError("line_too_long", f"a line of {consumed:,} bytes: expected at most {limit} MiB")
        return offset + consumed, RawRecord(progress.lines, offset, line, fault)
    is_blank = not line or line.isspace()
    return offset + consumed, None if is_blank else RawRecord(progress.lines, offset, line)


def _cut(block: "_Block", offset: int, before: int, end: int | None) -> tuple[Batch, int, int]:
    """The records of a block's lines that begin before `end`, where the next line begins, and the lines passed."""
    lines = block.data[block.at : block.last].split(b"\n")
    offsets = list(accumulate([len(line) + 1 for line in lines], initial=offset))
    if end is not None and offsets[-1] > end:
        del lines[bisect_left(offsets, end) :]
    return _without_blanks(lines, before, offsets), offsets[len(lines)], len(lines)


def _cut_by_kernel(block: "_Block", offset: int, before: int, end: int | None) -> tuple[Batch, int, int]:
    start = offset - block.at
    stop = len(block.data) if end is None else end - start
    lines, next_at, passed = _kernel.cut(block.data, block.at, block.last, stop, start, before)
    return Batch(lines.numbers, lines.offsets, lines), start + next_at, passed


def _without_blanks(lines: list[bytes], before: int, offsets: list[int]) -> Batch:
    lines = [line[:-1] if line.endswith(b"\r") else line for line in lines]
    kept = [index for index, line in enumerate(lines) if line and not line.isspace()]
    if len(kept) == len(lines):
        return Batch(range(before + 1, before + 1 + len(lines)), offsets[: len(lines)], lines)
    return Batch([before + 1 + n for n in kept], [offsets[n] for n in kept], [lines[n] for n in kept])


class _Block(NamedTuple):
    """Bytes with whole lines: the first begins at `at`, the last one's newline is at `last`."""

    data: bytes
    at: int
    last: int


class _LineReader:
    def __init__(self, stream: BinaryIO, max_bytes: int) -> None:
        self._stream = stream
        self.max_bytes = max_bytes
        self._block = b""
        self._at = 0

    def take_lines(self) -> _Block | None:
        """The whole lines at hand; none when one of them might be over the limit."""
        last = self._block.rfind(b"\n", self._at)
        if last < 0 or len(self._block) > self.max_bytes:
            return None
        block = _Block(self._block, self._at, last)
        self._at = last + 1
        return block

    def read_line(self) -> tuple[bytes, int, bool]:
        """The next line without its end, the bytes it took with it, and whether it is over the limit (then cut)."""
        newline = self._block.find(b"\n", self._at)
        if newline >= 0:  # the common case: the whole line is at hand
            line = self._block[self._at : newline]
            consumed = newline + 1 - self._at
            self._at = newline + 1
            if line.endswith(b"\r"):
                line = line[:-1]
            return line, consumed, consumed > self.max_bytes + 1
        return self._read_across_blocks()

    def skip_line(self) -> int:
        """Pass over a line; returns its bytes."""
        return self.read_line()[1]

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
            if size <= self.max_bytes:
                pieces.append(taken)
            size += len(taken)
            if newline >= 0:
                self._at = newline + 1
                consumed = size + 1
                break
        if size > self.max_bytes:
            return b"".join(pieces)[:KEPT_OF_OVERSIZE], consumed, True
        line = b"".join(pieces)
        return line[:-1] if line.endswith(b"\r") else line, consumed, False
