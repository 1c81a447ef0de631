"""Archives: whole rows in Parquet (zstd), every column as PostgreSQL's text of it, so that nothing is rounded.

A file holds rows of one month, a row group is a chunk. `archive.json` says what there is; it is sealed by a hash and
written last, so an archive that has one is whole.
"""

import hashlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from hindcast.archive_store import keep_bytes, keep_file, local_copy, read_bytes
from hindcast.errors import ArchiveError
from hindcast.lookahead import one_ahead
from hindcast.row_digest import HASH_BYTES, Digest
from hindcast.row_texts import hash_rows

DESCRIPTION: Final = "archive.json"
ROW_HASH: Final = "hindcast_row_hash"
PUT_BACK: Final = "hindcast_put_back"  # JSON of the row this one had taken the place of
FILE_ROWS: Final = 250_000


class ArchiveFile(msgspec.Struct, frozen=True):
    """A file of an archive. `chunks` are the rows of its row groups, the first of which is chunk `first_chunk`."""

    name: str
    month: str
    rows: int
    digest: str
    first_chunk: int
    chunks: list[int]
    sha256: str
    size_bytes: int


class ArchivedMonth(msgspec.Struct, frozen=True):
    """The rows of a month (`2024-01`); `is_whole` when its partition held no others, and nothing is to be put back."""

    month: str
    rows: int
    digest: str
    is_whole: bool
    mark: str | msgspec.UnsetType = msgspec.UNSET  # of `watched`; unset: it was not watched while it was read


class ObjectIndex(msgspec.Struct, frozen=True):
    """How many objects are archived with the rows, and the SHA-256 of the file that lists them."""

    objects: int
    sha256: str


class Description(msgspec.Struct):
    """What an archive holds and where it came from; enough to restore it without the ledger."""

    archive_id: str
    selection: dict[str, Any]
    run_status: str | None
    operator: str
    created_at: str
    columns: list[str]
    rows: int = 0
    digest: str = ""
    live_rows: int = 0
    put_back: int = 0
    days: list[str] = []
    counts: list[tuple[str, str, int]] = []  # month, event type, rows
    months: list[ArchivedMonth] = []
    files: list[ArchiveFile] = []
    objects: ObjectIndex | msgspec.UnsetType = msgspec.UNSET  # unset: no objects, or sealed before this was noted
    snapshot: str | msgspec.UnsetType = msgspec.UNSET  # of the table when it was read; unset: not noted
    version: int = 1
    seal: str = ""


@dataclass(frozen=True)
class ArchivedChunk:
    """A row group as read back: texts of the columns, column by column; `size_bytes` is uncompressed."""

    number: int
    table: pa.Table
    size_bytes: int

    @property
    def rows(self) -> int:
        return int(self.table.num_rows)

    @property
    def hashes(self) -> bytes:
        """The hashes of its rows, one behind the other."""
        return b"".join(self.values(ROW_HASH))

    def values(self, name: str) -> list[Any]:
        """One column."""
        values: list[Any] = self.table[name].to_pylist()
        return values


class ArchiveWriter:
    """Writes an archive's files, month by month, and hashes each row on its way."""

    def __init__(self, folder: str, scratch: Path, columns: Sequence[str]) -> None:
        self._folder, self._scratch, self._columns = folder, scratch, list(columns)
        texts = [(name, pa.string()) for name in columns]
        self._schema = pa.schema([*texts, (ROW_HASH, pa.binary(HASH_BYTES)), (PUT_BACK, pa.string())])
        self._chunks = 0
        self.files: list[ArchiveFile] = []

    def write_month(self, month: str, chunks: Iterator[pa.Table], advance: Callable[[int], None]) -> Digest:
        """Write a month's rows, a row group a chunk of texts and what is to be put back; returns their digest."""
        whole = Digest()
        chunk = next(chunks, None)
        while chunk is not None:
            path = self._scratch / f"rows-{month}-{len(self.files) + 1:04}.parquet"
            digest, sizes = Digest(), []
            with pq.ParquetWriter(path, self._schema, compression="zstd") as writer:
                while chunk is not None and digest.rows < FILE_ROWS:
                    hashes = hash_rows([chunk[name] for name in self._columns])
                    column = pa.FixedSizeBinaryArray.from_buffers(
                        pa.binary(HASH_BYTES), len(chunk), [None, pa.py_buffer(hashes)]
                    )
                    table = chunk.append_column(ROW_HASH, column).select(self._schema.names)
                    writer.write_table(table, row_group_size=len(chunk))
                    digest.add_hashes(hashes)
                    sizes.append(len(chunk))
                    advance(len(chunk))
                    chunk = next(chunks, None)
            self._keep(path, month, digest, sizes)
            whole.add_sums(digest.rows, digest.high, digest.low)
        return whole

    def _keep(self, path: Path, month: str, digest: Digest, sizes: list[int]) -> None:
        with path.open("rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
        size_bytes = path.stat().st_size
        keep_file(path, self._folder)
        self.files.append(
            ArchiveFile(path.name, month, digest.rows, digest.text, self._chunks, sizes, checksum, size_bytes)
        )
        self._chunks += len(sizes)


def seal_archive(description: Description, folder: str) -> None:
    """Declare an archive whole."""
    description.seal = _compute_seal(description)
    keep_bytes(DESCRIPTION, msgspec.json.format(msgspec.json.encode(description)), folder)


def read_description(folder: str) -> Description:
    """Read a sealed description; raises ArchiveError when it is missing or not what was sealed."""
    try:
        description = msgspec.json.decode(read_bytes(DESCRIPTION, folder), type=Description)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ArchiveError(f"{folder}/{DESCRIPTION}: cannot be read: {error}") from error
    if _compute_seal(description) != description.seal:
        raise ArchiveError(f"{folder}/{DESCRIPTION}: changed since it was sealed")
    if any("/" in file.name or file.name.startswith(".") for file in description.files):
        raise ArchiveError(f"{folder}/{DESCRIPTION}: names files outside of its folder")
    return description


def read_chunks(
    description: Description, folder: str, scratch: Path, skip: Callable[[int], bool] = lambda number: False
) -> Generator[ArchivedChunk, None, None]:
    """Yield the chunks of an archive in order, but those to skip; raises ArchiveError when a file has other bytes."""
    for file in description.files:
        numbers = [file.first_chunk + index for index in range(len(file.chunks))]
        if all(map(skip, numbers)):
            continue
        with local_copy(file.name, folder, file.sha256, scratch) as path, pq.ParquetFile(path) as parquet:
            for index, number in enumerate(numbers):
                if not skip(number):
                    size_bytes = parquet.metadata.row_group(index).total_byte_size
                    yield ArchivedChunk(number, parquet.read_row_group(index), size_bytes)


def digest_archive(description: Description, folder: str, scratch: Path, advance: Callable[[int], None]) -> Digest:
    """Hash every row anew from the bytes that were kept; raises ArchiveError at a row that is not what it was."""
    whole = Digest()
    for chunk in one_ahead(read_chunks(description, folder, scratch)):
        hashes = hash_rows([chunk.table[name] for name in description.columns])
        if hashes != chunk.hashes:
            raise ArchiveError(f"{folder}: chunk {chunk.number}: a row read back is not what the table holds")
        whole.add_hashes(hashes)
        advance(chunk.rows)
    return whole


def _compute_seal(description: Description) -> str:
    return hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(description, seal=""))).hexdigest()
