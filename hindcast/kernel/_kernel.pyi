"""Types of the compiled kernel. Nothing here is called where `has_kernel()` is False."""

from collections.abc import Iterator, Sequence
from typing import overload

from hindcast.event import Event

# A column of texts: (ends, data, validity, offset).
TextBuffers = tuple[object, object, object | None, int]
# Event ids, times (microseconds since 1970, 64 bits), the source, and the texts in the kernel's order.
StagedBuffers = tuple[bytes, bytes, str, tuple[TextBuffers, ...]]

class Lines(Sequence[bytes]):
    """Lines of a block, without their ends, made into objects when asked for; slices and views share the block."""

    @property
    def numbers(self) -> Sequence[int]:
        """The line numbers."""

    @property
    def offsets(self) -> Sequence[int]:
        """Where in the part the lines begin."""

    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, place: int, /) -> bytes: ...
    @overload
    def __getitem__(self, places: slice, /) -> Lines: ...

def cut(block: bytes, at: int, last: int, end: int, offset: int, before: int, /) -> tuple[Lines, int, int]:
    """The lines of a block that are not blank, from `at`, where one begins, to the newline at `last`.

    Only those that begin before `end`, a place in the block, too. The block begins at `offset` of its part, and
    `before` lines came before. Returns them, where the next one begins in the block, and how many were passed.
    """

class Builder:
    """Rows of one chunk, collected as Arrow's buffers with their ids and hashes.

    `names` gives the column (its place in `texts`, -1 the time, -2 the payload) of each name that a record may have.
    Times are in microseconds since 1970; rows outside `start` <= time < `end` are counted in `outside` alone, but
    `naive` counts every record read whose time has no zone.
    """

    def __init__(
        self,
        source: str,
        tenant: str,
        names: dict[str, int],
        earliest: int,
        latest: int,
        start: int,
        end: int,
        refuses_personal: bool,
    ) -> None: ...
    @property
    def count(self) -> int: ...
    @property
    def sanitised(self) -> int: ...
    @property
    def first(self) -> int: ...
    @property
    def last(self) -> int: ...
    @property
    def outside(self) -> int: ...
    @property
    def naive(self) -> int: ...
    @property
    def size(self) -> int:
        """Bytes of the longest column."""

    def read(self, raws: list[bytes] | Lines, numbers: Sequence[int], offsets: Sequence[int], /) -> list[int]:
        """Add the plain ones among some records; returns the places of the others. Lines know numbers and offsets."""

    def add(self, event: Event, microseconds: int, payload: bytes, line: int, byte_offset: int, /) -> None:
        """Add a decoded event; `payload` is canonical."""

    def columns(self, other: Builder, /) -> dict[str, bytes | tuple[bytes, bytes, bytes, int]]:
        """Buffers by column: of texts (ends of 32 bits, data, validity, nulls), of others their bytes.

        With the rows of the other, too, in the order of all lines; each had its own in that order already.
        """

    def clear(self) -> None:
        """Have no rows any more, and nothing counted; their memory is kept for the next."""

def match(rows: StagedBuffers, sent: bytes, states: bytearray, chunks: bytearray, /) -> None:
    """Compare rows of `record_send` with staged rows of the same ids, by bytes (see match.h).

    States are a byte a row (0 not found, 1 equal, 2 undecided), chunks eight (the equal row's chunk; the least
    integer: none). Raises ValueError when lengths or the rows' shape are wrong.
    """

class Sender(Iterator[bytes]):
    """The rows in PostgreSQL's binary COPY format, in the columns of sending.h and by their ids, some 120 kB at a time.

    `lines` are 64-bit integers.
    """

    def __init__(self, rows: StagedBuffers, lines: bytes, chunk_id: int, imported_at: int, /) -> None: ...
    def __next__(self) -> bytes: ...

def sum(rows: StagedBuffers, seed: int, /) -> int | None:
    """The sum of the rows' hashes as PostgreSQL has them (see sums.h), modulo 2^64; None when a row is not plain.

    The seed is below 2^63: PostgreSQL's is signed.
    """

def hash_rows(texts: tuple[TextBuffers, ...], rows: int, /) -> bytes:
    """The hashes of whole rows by `hindcast.row_digest`, 16 bytes each, given as texts of their columns.

    Raises ValueError when a column has fewer rows.
    """

def canonical(text: bytes, /) -> bytes | None:
    """The canonical form of a plain JSON value; None when it is not plain."""

def digest(data: bytes, portable: bool, /) -> bytes:
    """SHA-256; `portable` does without the processor's own instructions."""
