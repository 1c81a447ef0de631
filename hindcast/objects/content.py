"""Bytes to be stored, put together from memory and files, read in pieces as often as needed."""

import hashlib
import io
import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from tempfile import TemporaryFile
from typing import IO, BinaryIO, Final

BUFFER_BYTES: Final = 256 * 1024


@dataclass(frozen=True)
class Piece:
    """Some bytes that are elsewhere: `read_at(offset, size)` gives up to `size` of them."""

    read_at: Callable[[int, int], bytes]
    offset: int
    size: int

    def read(self, start: int, size: int) -> bytes:
        """Bytes from `start` of this piece, at most `size` and never past its end."""
        return self.read_at(self.offset + start, min(size, self.size - start))


def file_piece(file: BinaryIO, offset: int, size: int) -> Piece:
    """Some bytes of an open file; its position is left alone."""
    return Piece(lambda place, count: os.pread(file.fileno(), count, place), offset, size)


class Spool:
    """Bytes written one after the other and read by place: in memory while they are few, then in a file."""

    def __init__(self, folder: str | None, most_in_memory: int) -> None:
        self._folder, self._most_in_memory = folder, most_in_memory
        self._file: io.BytesIO | IO[bytes] = io.BytesIO()
        self._is_flushed = True
        self.size = 0

    def write(self, block: bytes) -> None:
        """Add bytes at the end."""
        if isinstance(self._file, io.BytesIO) and self.size + len(block) > self._most_in_memory:
            held = self._file.getbuffer()
            self._file = TemporaryFile(dir=self._folder)
            self._file.write(held)
        self._file.write(block)
        self.size += len(block)
        self._is_flushed = False

    def read_at(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`."""
        if isinstance(self._file, io.BytesIO):
            return bytes(self._file.getbuffer()[offset : offset + size])
        if not self._is_flushed:
            self._file.flush()
            self._is_flushed = True
        return os.pread(self._file.fileno(), size, offset)

    def close(self) -> None:
        """Give memory and file back."""
        self._file.close()


class Content:
    """A value as a sequence of bytes and pieces of files. Reading it costs one buffer, however large it is."""

    def __init__(self, parts: Iterable[bytes | Piece]) -> None:
        self._parts = tuple(parts)
        sizes = [part.size if isinstance(part, Piece) else len(part) for part in self._parts]
        self._starts = list(accumulate(sizes, initial=0))

    @property
    def size(self) -> int:
        """Bytes altogether."""
        return self._starts[-1]

    @property
    def parts(self) -> "tuple[bytes | Piece, ...]":
        """What it is made of."""
        return self._parts

    @cached_property
    def sha256(self) -> str:
        """Lower-case hex SHA-256 of all bytes; reads them once."""
        digest = hashlib.sha256()
        for block in self:
            digest.update(block)
        return digest.hexdigest()

    def __iter__(self) -> Iterator[bytes]:
        position = 0
        while block := self.read_at(position, BUFFER_BYTES):
            yield block
            position += len(block)

    def read_at(self, position: int, size: int) -> bytes:
        """Up to `size` bytes from `position`; fewer at the end of a part, none at the end of all."""
        if position >= self.size:
            return b""
        index = bisect_right(self._starts, position) - 1
        part, start = self._parts[index], position - self._starts[index]
        if isinstance(part, Piece):
            block = part.read(start, size)
            if not block:
                raise EOFError(f"a file ended {part.size - start} bytes early")
            return block
        return part[start : start + size]

    def open(self) -> BinaryIO:
        """A seekable stream of the bytes, from the beginning."""
        return io.BufferedReader(_Stream(self), BUFFER_BYTES)


class _Stream(io.RawIOBase):
    def __init__(self, content: Content) -> None:
        self._content, self._position = content, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._content.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]  # what io calls it with
        block = self._content.read_at(self._position, len(buffer))
        buffer[: len(block)] = block
        self._position += len(block)
        return len(block)
