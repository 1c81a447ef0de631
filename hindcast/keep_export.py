"""Keeping raw exports: every file of a run copied to `<prefix>/<dataset>/<year of last event>/<name>` and read back.

Safe to repeat: a copy that is there with the same bytes is left as it is, one with other bytes is never overwritten.
"""

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, Protocol
from uuid import UUID

import psycopg

from hindcast.atomic import sync_folder
from hindcast.errors import ExportError
from hindcast.export import Part
from hindcast.plan import Plan
from hindcast.storage import is_s3, open_binary, s3_client, split_s3

_BLOCK: Final = 1 << 20


@dataclass(frozen=True)
class Kept:
    """What became of one file: `status` is `kept` (`kept_as` says where) or `failed` (`reason` says why)."""

    part: str
    status: str
    kept_as: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class ExportFile:
    """One file of an export, with the names of its parts (an archive has many)."""

    name: str
    location: str
    fingerprint: str | None  # sha256:... of the whole file where it is known
    parts: tuple[str, ...]


class _Store(Protocol):
    def location(self, name: str) -> str: ...
    def size(self, name: str) -> int | None: ...
    def write(self, name: str, source: BinaryIO) -> None: ...


def export_files(parts: Iterable[Part]) -> list[ExportFile]:
    """The files that hold these parts, in their order."""
    found: dict[str, ExportFile] = {}
    for part in parts:
        name = part.name if part.member is None else part.name.removesuffix(f"!{part.member}")
        whole = part.fingerprint if part.member is None and part.fingerprint.startswith("sha256:") else None
        earlier = found.get(part.location)
        names = (*earlier.parts, part.name) if earlier else (part.name,)
        found[part.location] = ExportFile(name, part.location, whole, names)
    return list(found.values())


def keep_file(file: ExportFile, plan: Plan, prefix: str, last_at: datetime | None) -> Kept:
    """Copy one file, and read the copy back; never raises for what is wrong with a store."""
    from boto3.exceptions import Boto3Error  # slow to import
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        folder = f"{plan.dataset}/{(last_at or datetime.now(UTC)).year:04}"
        return Kept(file.name, "kept", _keep(file, _open_store(prefix, folder)))
    except (OSError, ExportError, Boto3Error, BotoCoreError, ClientError) as error:
        return Kept(file.name, "failed", reason=" ".join(str(error).split())[:300])


def record_kept(connection: psycopg.Connection, run_id: UUID, file: ExportFile, kept: Kept) -> None:
    """Name the copy in the ledger, with every part of the file."""
    connection.execute(
        "UPDATE import_parts SET kept_as = %s WHERE run_id = %s AND part = ANY(%s)",
        (kept.kept_as, run_id, list(file.parts)),
    )


def _keep(file: ExportFile, store: _Store) -> str:
    if {"", ".", ".."} & set(PurePosixPath(file.name).parts) or file.name.startswith("/"):
        raise ExportError(f"{file.name!r}: not a name that can be kept")
    digest, size = _digest(file.location)
    if file.fingerprint and file.fingerprint != f"sha256:{digest}":
        raise ExportError(f"{file.location}: changed since it was imported; keep the imported file by hand")
    path = PurePosixPath(file.name)
    suffixes = "".join(path.suffixes)
    # Another export of that name: told apart by what is in it.
    other = path.with_name(f"{path.name.removesuffix(suffixes)}-{digest[:12]}{suffixes}").as_posix()
    for name in (file.name, other):
        found = store.size(name)
        if found is None:
            with open_binary(file.location) as source:
                store.write(name, source)
        elif found != size:
            continue
        if _digest(store.location(name)) == (digest, size):
            return store.location(name)
        if found is None:
            raise ExportError(f"{store.location(name)}: the copy reads back with other bytes than were written")
    raise ExportError(f"{store.location(other)}: exists with other bytes than its name says; move it away")


def _digest(location: str) -> tuple[str, int]:
    """SHA-256 and size, of bytes read now."""
    digest, size = hashlib.sha256(), 0
    with open_binary(location) as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return digest.hexdigest(), size


def _open_store(prefix: str, folder: str) -> _Store:
    prefix = prefix.rstrip("/")
    return _S3Store(f"{prefix}/{folder}") if is_s3(prefix) else _FolderStore(Path(prefix).absolute() / folder)


@dataclass(frozen=True)
class _FolderStore:
    folder: Path

    def location(self, name: str) -> str:
        return str(self.folder / name)

    def size(self, name: str) -> int | None:
        try:
            return (self.folder / name).stat().st_size
        except FileNotFoundError:
            return None

    def write(self, name: str, source: BinaryIO) -> None:
        """Beside its place, then linked to it: whole or not there, and nothing is overwritten."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._aside(path) as (aside, file):
            while block := source.read(_BLOCK):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):  # somebody was quicker: reading back tells whether it is equal
                os.link(aside, path)
        sync_folder(path.parent)

    @staticmethod
    @contextlib.contextmanager
    def _aside(path: Path) -> Iterator[tuple[Path, BinaryIO]]:
        for left_behind in path.parent.glob(f".{path.name[:150]}.*.part"):
            left_behind.unlink(missing_ok=True)  # of an attempt that was killed: one writer at a time
        aside = path.with_name(f".{path.name[:150]}.{secrets.token_hex(8)}.part")
        try:
            with aside.open("xb") as file:
                yield aside, file
        finally:
            aside.unlink(missing_ok=True)


@dataclass(frozen=True)
class _S3Store:
    prefix: str

    def location(self, name: str) -> str:
        return f"{self.prefix}/{name}"

    def size(self, name: str) -> int | None:
        from botocore.exceptions import ClientError

        bucket, key = split_s3(self.location(name))
        try:
            return int(s3_client().head_object(Bucket=bucket, Key=key)["ContentLength"])
        except ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
                return None
            raise

    def write(self, name: str, source: BinaryIO) -> None:
        """In parts when it is large; each is checked by its SHA-256, and the object appears when all are there."""
        bucket, key = split_s3(self.location(name))
        s3_client().upload_fileobj(source, bucket, key, ExtraArgs={"ChecksumAlgorithm": "SHA256"})
