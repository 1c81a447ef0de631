"""Room on the disks that can be seen from here: for staging, and for a database on this machine."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psycopg

from hindcast.database import connect
from hindcast.errors import TargetError
from hindcast.export import Part
from hindcast.preflight import Check
from hindcast.settings import Settings

# Measured on analytics_history: staging takes 0.21 of the export's bytes, rows with their indexes 1.15 of them.
STAGED_SHARE: Final = 0.3
TABLE_SHARE: Final = 1.4
# JSON lines compress to an eighth or less.
INFLATION: Final = 8.0
_LEAST_FREE: Final = 256 * 1024 * 1024


def check_room(settings: Settings, url: str | None, parts: Sequence[Part] = ()) -> list[Check]:
    """Compare what staging and loading these parts will need with what is free. `url` is None in a dry run."""
    size = estimate_bytes(parts)
    found = [_check_folder("staging", settings.home, size * STAGED_SHARE, "choose another HINDCAST_HOME")]
    if url is None:
        return found
    try:
        with connect(url, settings) as connection:
            return [*found, _check_data(connection, size * TABLE_SHARE)]
    except TargetError as error:
        return [*found, Check("database disk", "warned", f"not known: {error}")]


def estimate_bytes(parts: Sequence[Part]) -> float:
    """Bytes of the parts when they are decompressed, roughly."""
    return sum(part.size_bytes * (1.0 if part.is_splittable else INFLATION) for part in parts)


def _check_data(connection: psycopg.Connection, needed: float) -> Check:
    try:
        row = connection.execute(
            "SELECT setting, (SELECT pg_size_bytes(current_setting('max_wal_size'))) FROM pg_settings"
            " WHERE name = 'data_directory'"
        ).fetchone()
    except psycopg.Error:
        row = None
    folder = Path(row[0]) if row and row[0] else None
    is_here = connection.info.host in ("", "localhost", "127.0.0.1", "::1") or connection.info.host.startswith("/")
    if not row or not folder or not is_here or not folder.is_dir():
        return Check("database disk", "passed", "the database's disk cannot be seen from here: look at it yourself")
    return _check_folder("database disk", folder, needed + min(row[1], needed), "make room on the database's disk")


def _check_folder(name: str, folder: Path, needed: float, remedy: str) -> Check:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    told = f"{name}: {folder} has {_gigabytes(free)} free"
    if needed:
        told += f", the export needs about {_gigabytes(needed)}"
    if free < max(needed, _LEAST_FREE):
        return Check(name, "failed", f"{told}; {remedy}")
    if free < needed * 1.5:
        return Check(name, "warned", f"{told}: it will be nearly full")
    return Check(name, "passed", told)


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.0f} MB"
