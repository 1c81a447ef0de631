"""Writing an Amplitude export: hourly `.json.gz` members in a zip or a folder, or one file; complete or absent."""

import gzip
import hashlib
import os
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from hindcast.errors import ConfigurationError
from hindcast.synthetic.output import answers_path, refuse_target
from hindcast.synthetic.spec import FileFacts

APP: Final = 366676
_OLDEST: Final = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can say: the same bytes whenever it is made
HOUR_MS: Final = 3_600_000


def write_amplitude(out: Path, hours: Iterable[tuple[int, list[bytes]]], compression: int = 1) -> list[FileFacts]:
    """Write lines by hour of upload (hours since 1970, in order; an hour may come in several pieces).

    A `.zip` has a member a piece, a folder (a name without an ending) a file a piece; `.json.gz` is all in one.
    The last line of every other member has no newline, as the real ones may.
    """
    is_folder = not out.suffix
    if not is_folder and not out.name.endswith((".zip", ".json.gz")):
        raise ConfigurationError(f"{out}: expected a name that ends in .zip or .json.gz, or in nothing, for a folder")
    refuse_target(out, is_folder)
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        if is_folder:
            records = _write_folder(aside, hours, compression)
        elif out.suffix == ".zip":
            records = {"": _write_zip(aside, hours, compression)}
        else:
            records = {"": _write_file(aside, hours)}
        answers_path(out).unlink(missing_ok=True)
        aside.replace(out)
    finally:
        if aside.is_dir():
            shutil.rmtree(aside)
        aside.unlink(missing_ok=True)
    return [_describe(out / name if name else out, name or out.name, count) for name, count in records.items()]


def _write_folder(folder: Path, hours: Iterable[tuple[int, list[bytes]]], compression: int) -> dict[str, int]:
    folder.mkdir()
    records = {}
    for name, lines, member in _make_members(hours, compression):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(member)
        records[name] = lines
    return records


def _write_zip(path: Path, hours: Iterable[tuple[int, list[bytes]]], compression: int) -> int:
    records = 0
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, lines, member in _make_members(hours, compression):
            archive.writestr(zipfile.ZipInfo(name, _OLDEST), member)
            records += lines
    return records


def _make_members(hours: Iterable[tuple[int, list[bytes]]], compression: int) -> Iterator[tuple[str, int, bytes]]:
    """The name, the count of lines and the bytes of each member."""
    number, last = 0, -1
    for hour, lines in hours:
        number = number + 1 if hour == last else 0
        last = hour
        at = datetime.fromtimestamp(hour * 3600, UTC)
        end = b"\n" if hour % 2 else b""
        member = gzip.compress(b"\n".join(lines) + end, compression, mtime=0)
        yield f"{APP}/{APP}_{at:%Y-%m-%d}_{at.hour}#{number}.json.gz", len(lines), member


def _write_file(path: Path, hours: Iterable[tuple[int, list[bytes]]]) -> int:
    records = 0
    with path.open("wb") as raw, gzip.GzipFile(fileobj=raw, filename="", mode="wb", compresslevel=1, mtime=0) as file:
        for _, lines in hours:
            file.write(b"\n".join([*lines, b""]))
            records += len(lines)
    return records


def _describe(path: Path, name: str, records: int) -> FileFacts:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileFacts(name, path.stat().st_size, records, digest)
