"""Writing an Amplitude export: a zip of hourly `.json.gz` members, or one `.json.gz` file; complete or absent."""

import gzip
import hashlib
import os
import zipfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from hindcast.errors import ConfigurationError
from hindcast.synthetic.output import answers_path
from hindcast.synthetic.spec import FileFacts

APP: Final = 366676
_OLDEST: Final = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can say: the same bytes whenever it is made
HOUR_MS: Final = 3_600_000


def write_amplitude(out: Path, hours: Iterable[tuple[int, list[bytes]]], compression: int = 1) -> list[FileFacts]:
    """Write lines by hour of upload (hours since 1970, in order; an hour may come in several pieces).

    The last line of every other member has no newline, as the real ones may.
    """
    if out.is_dir():
        raise ConfigurationError(f"{out}: is a folder, expected a file name")
    if not out.name.endswith((".zip", ".json.gz")):
        raise ConfigurationError(f"{out}: expected a name that ends in .zip or .json.gz")
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        records = _write_zip(aside, hours, compression) if out.suffix == ".zip" else _write_file(aside, hours)
        answers_path(out).unlink(missing_ok=True)
        aside.replace(out)
    finally:
        aside.unlink(missing_ok=True)
    with out.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return [FileFacts(out.name, out.stat().st_size, records, digest)]


def _write_zip(path: Path, hours: Iterable[tuple[int, list[bytes]]], compression: int) -> int:
    records, members, last = 0, 0, -1
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for hour, lines in hours:
            members = members + 1 if hour == last else 0
            last = hour
            at = datetime.fromtimestamp(hour * 3600, UTC)
            name = f"{APP}/{APP}_{at:%Y-%m-%d}_{at.hour}#{members}.json.gz"
            end = b"\n" if hour % 2 else b""
            member = gzip.compress(b"\n".join(lines) + end, compression, mtime=0)
            archive.writestr(zipfile.ZipInfo(name, _OLDEST), member)
            records += len(lines)
    return records


def _write_file(path: Path, hours: Iterable[tuple[int, list[bytes]]]) -> int:
    records = 0
    with path.open("wb") as raw, gzip.GzipFile(fileobj=raw, filename="", mode="wb", compresslevel=1, mtime=0) as file:
        for _, lines in hours:
            file.write(b"\n".join([*lines, b""]))
            records += len(lines)
    return records
