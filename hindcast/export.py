"""Finding the parts of an export and opening them: files, folders, globs, S3 prefixes, archives and their members."""

import glob
import gzip
import io
import lzma
import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

import zstandard

from hindcast.errors import ExportError
from hindcast.fingerprints import fingerprint_file
from hindcast.records import BOM
from hindcast.storage import is_s3, list_objects, open_binary, split_s3
from hindcast.zip_archives import open_member, zip_faults

COMPRESSED_SUFFIXES: Final = (".gz", ".zst")
READABLE: Final = re.compile(r"\.(jsonl|ndjson|json|http)(\.gz|\.zst)?$", re.IGNORECASE)
_REQUESTS: Final = re.compile(r"\.http(\.gz|\.zst)?$", re.IGNORECASE)
# What we write beside exports ourselves, and what the platform does: never records.
SIDE_FILES: Final = re.compile(
    r"(\.answers\.json|(^|/)server_health_report\.json|(^|/)report\.json|_complete)$"
    r"|(^|/)\.(?!\.?/)",  # hidden files, and all below hidden folders such as our own .hindcast
    re.IGNORECASE,
)
DAMAGE: Final = (
    zlib.error,
    zstandard.ZstdError,
    lzma.LZMAError,
    EOFError,
    gzip.BadGzipFile,
    zipfile.BadZipFile,
)

_HASHED_AT_ONCE: Final = 4
_ZIP_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
_ZSTD_FEED_BYTES = 2048  # a block of four bytes inflates to 128 KiB: this much to 64 MiB at most
_RATIO_FREE_BYTES = 64 * 1024 * 1024  # small members may inflate by any ratio


@dataclass(frozen=True)
class Part:
    """One file or archive member. `fingerprint` is `sha256:...` locally and `etag:...` on S3."""

    name: str
    location: str
    member: str | None
    size_bytes: int
    fingerprint: str
    is_array: bool = False

    @property
    def is_splittable(self) -> bool:
        """Plain lines can be read from any byte; archives, arrays and requests only from their beginning."""
        return self.member is None and not (self.is_array or self.is_requests or _compression(self.location))

    @property
    def is_requests(self) -> bool:
        """Captured HTTP requests, one after the other."""
        return bool(_REQUESTS.search(self.member or self.location))


@dataclass(frozen=True)
class Bounds:
    """How far an archive may inflate before it is refused."""

    max_ratio: float
    max_member_bytes: int


def find_parts(file: str) -> list[Part]:
    """List an export's parts in natural order, fingerprinted; raises ExportError when there are none."""
    locations = _list_s3(file) if is_s3(file) else _list_local(file)
    parts: list[Part] = []
    for name, location, size, fingerprint in locations:
        if location.lower().endswith(".zip"):
            parts.extend(_zip_members(name, location, fingerprint))
        else:
            is_array = _is_json_array(location, None) if re.search(r"\.json(\.|$)", location.lower()) else False
            parts.append(Part(name, location, None, size, fingerprint, is_array))
    if not parts:
        raise ExportError(f"{file}: no .jsonl, .ndjson, .json or .http file (plain, .gz, .zst, .zip) found there")
    return parts


@contextmanager
def open_part(part: Part, start: int, bounds: Bounds) -> Iterator[BinaryIO]:
    """Open a part's records, decompressed, standing at `start`; inflating past the bounds raises ExportError."""
    with ExitStack() as stack:
        stream = _open_layers(stack, part.location, part.member, start, part.fingerprint)
        if part.is_splittable:
            yield stream
        else:
            compressed = max(part.size_bytes, 1)
            yield cast(BinaryIO, _Bounded(stream, part.name, compressed, bounds))


def _open_layers(
    stack: ExitStack, location: str, member: str | None, start: int = 0, fingerprint: str = ""
) -> BinaryIO:
    if member is not None:
        stream = open_member(stack, location, member, fingerprint.partition(":crc32:")[0])
        name = member
    else:
        stream = stack.enter_context(open_binary(location, start))
        name = location
    compression = _compression(name)
    if compression == ".gz":
        return cast(BinaryIO, stack.enter_context(gzip.GzipFile(fileobj=stream)))
    if compression == ".zst":
        return cast(BinaryIO, _ZstdFrames(stream))
    return stream


class _ZstdFrames:
    """Reads frame after frame. Unlike zstandard's own reader it says so when the last one breaks off."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._unused = b""

    def read1(self, size: int) -> bytes:
        """What the next bytes inflate to, however much that is; empty only at the end."""
        while fed := self._unused or self._stream.read(_ZSTD_FEED_BYTES):
            self._unused = b""
            self._frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
            block = self._frame.decompress(fed)
            if self._frame.eof:
                self._unused, self._frame = self._frame.unused_data, None
            if block:
                return block
        if self._frame:
            raise EOFError("compressed file ended before the end of its last frame")
        return b""


class _Bounded:
    """Reads all that can be read before a damage, then raises it; refuses a bomb."""

    def __init__(self, stream: BinaryIO, name: str, compressed: int, bounds: Bounds) -> None:
        self._stream, self._name, self._compressed, self._bounds = stream, name, compressed, bounds
        self._total = 0
        self._damage: Exception | None = None

    def read(self, size: int) -> bytes:
        pieces: list[bytes] = []
        found = 0
        while found < size and not self._damage:
            try:
                piece = self._stream.read1(size - found)  # type: ignore[attr-defined]  # every layer has it
            except DAMAGE as error:
                self._damage = error
                break
            except OSError as error:
                if error.errno is not None:
                    raise
                self._damage = zipfile.BadZipFile(str(error))  # how bz2 says that its data is damaged
                break
            if not piece:
                break
            pieces.append(piece)
            found += len(piece)
        if self._damage and not pieces:
            raise self._damage
        block = b"".join(pieces)
        self._check_bounds(len(block))
        return block

    def _check_bounds(self, size: int) -> None:
        self._total += size
        ratio = self._total / self._compressed
        if self._total > self._bounds.max_member_bytes or (
            self._total > _RATIO_FREE_BYTES and ratio > self._bounds.max_ratio
        ):
            raise ExportError(
                f"{self._name}: inflates to over {self._total:,} bytes, {ratio:,.0f} times its size: refused as a bomb "
                "(HINDCAST_MAX_DECOMPRESSION_RATIO, HINDCAST_MAX_MEMBER_BYTES)"
            )


def _compression(name: str) -> str | None:
    suffix = Path(name).suffix.lower()
    return suffix if suffix in COMPRESSED_SUFFIXES else None


def is_record_file(name: str) -> bool:
    """True for a path that holds records (or is an archive of them), and is no side file."""
    is_readable = READABLE.search(name) or name.lower().endswith(".zip")
    return bool(is_readable) and not SIDE_FILES.search(name)


def natural_order(text: str) -> list[tuple[int, int, str]]:
    """A key that sorts `part-2` before `part-10`."""
    pieces = [(p.lstrip("0"), p) for p in re.split(r"([0-9]+)", text)]
    return [(0, len(n), n + p) if p.isdecimal() and p.isascii() else (1, 0, p) for n, p in pieces]


def _list_s3(file: str) -> Iterator[tuple[str, str, int, str]]:
    from botocore.exceptions import BotoCoreError, ClientError  # slow to import, and only S3 exports need it

    bucket, prefix = split_s3(file)
    base = prefix[: prefix.rfind("/") + 1]
    try:
        objects = sorted(list_objects(file), key=lambda o: natural_order(o.key))
    except (BotoCoreError, ClientError) as error:
        raise ExportError(f"{file}: the object store says: {error}") from None
    named = [item for item in objects if item.key == prefix]
    for item in named or objects:
        name = item.key.removeprefix(base)
        if is_record_file(name) or (named and READABLE.search(name)):
            yield name, f"s3://{bucket}/{item.key}", item.size_bytes, f"etag:{item.etag}"


def _list_local(file: str) -> Iterator[tuple[str, str, int, str]]:
    root = Path(file)
    if root.is_file():
        if not (READABLE.search(file) or file.lower().endswith(".zip")):
            raise ExportError(f"{file}: expected .jsonl, .ndjson, .json or .http, plain or .gz, .zst, .zip")
        found = [(root.name, root)]
    elif root.is_dir():
        found = [(p.relative_to(root).as_posix(), p) for p in root.rglob("*") if p.is_file()]
    elif glob.has_magic(file):
        matches = [Path(p) for p in glob.glob(file, recursive=True)]
        base = Path(re.split(r"[*?\[]", file)[0]).parent
        found = [(p.relative_to(base).as_posix(), p) for p in matches if p.is_file()]
    else:
        raise ExportError(f"{file}: no such file or folder")
    files = [pair for pair in found if is_record_file(pair[0]) or root.is_file()]
    files.sort(key=lambda pair: natural_order(pair[0]))
    for name, _ in files:
        if not _is_utf8(name):
            raise ExportError(f"{os.fsencode(name)!r}: a file name that is not UTF-8; rename the file")
    with ThreadPoolExecutor(_HASHED_AT_ONCE) as pool:
        fingerprints = pool.map(fingerprint_file, [path for _, path in files])
        for (name, path), fingerprint in zip(files, fingerprints, strict=True):
            yield name, str(path.absolute()), path.stat().st_size, fingerprint


def _is_utf8(name: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _zip_members(name: str, location: str, fingerprint: str) -> Iterator[Part]:
    try:
        with open_binary(location) as stream, zip_faults(), zipfile.ZipFile(stream) as archive:
            members = [info for info in archive.infolist() if not info.is_dir() and is_record_file(info.filename)]
    except zipfile.BadZipFile as error:
        raise ExportError(f"{name}: not a readable zip archive ({error})") from None
    seen: set[str] = set()
    for info in sorted(members, key=lambda i: natural_order(i.filename)):
        if info.filename.lower().endswith(".zip"):
            continue
        _check_member(name, info, seen)
        is_array = bool(re.search(r"\.json(\.|$)", info.filename.lower())) and _is_json_array(
            location, info.filename, fingerprint
        )
        identity = f"{fingerprint}:crc32:{info.CRC:08x}"
        yield Part(f"{name}!{info.filename}", location, info.filename, info.compress_size, identity, is_array)


def _check_member(archive: str, info: zipfile.ZipInfo, seen: set[str]) -> None:
    if info.flag_bits & 0x1:
        raise ExportError(f"{archive}!{info.filename}: encrypted; decrypt the archive first")
    if info.compress_type not in _ZIP_METHODS:
        raise ExportError(
            f"{archive}!{info.filename}: compressed by unknown method {info.compress_type}; unpack it first"
        )
    if info.filename in seen:
        raise ExportError(f"{archive}: holds two members named {info.filename!r}; unpack it first")
    seen.add(info.filename)


def _is_json_array(location: str, member: str | None, fingerprint: str = "") -> bool:
    unbounded = Bounds(float("inf"), 1 << 62)
    try:
        with ExitStack() as stack:
            stream = _open_layers(stack, location, member, fingerprint=fingerprint)
            head = _Bounded(stream, location, 1, unbounded).read(io.DEFAULT_BUFFER_SIZE)
    except DAMAGE:
        return False
    return head.removeprefix(BOM).lstrip().startswith(b"[")
