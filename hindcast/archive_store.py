"""Where archives are kept: a local folder or `s3://bucket/prefix`. Both are durable when a call returns."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from hindcast.atomic import write_atomically
from hindcast.errors import ArchiveError
from hindcast.settings import Settings
from hindcast.storage import is_s3, list_objects, open_binary, s3_client, split_s3


def archive_prefix(settings: Settings) -> str:
    """The folder or `s3://` prefix under which each archive has a folder named by its id."""
    if not settings.archive:
        return str(settings.home / "archives")
    return settings.archive.rstrip("/") if is_s3(settings.archive) else str(Path(settings.archive).absolute())


def join_location(folder: str, name: str) -> str:
    """A name within a folder or prefix."""
    return f"{folder.rstrip('/')}/{name}"


def clear_folder(folder: str) -> None:
    """Remove what an attempt that broke off has left there; the folder exists afterwards."""
    with _faults(folder):
        if not is_s3(folder):
            shutil.rmtree(folder, ignore_errors=True)
            Path(folder).mkdir(parents=True)
            return
        bucket, _ = split_s3(folder)
        for item in list_objects(f"{folder}/"):
            s3_client().delete_object(Bucket=bucket, Key=item.key)


def keep_file(path: Path, folder: str) -> None:
    """Move a local file into the folder under its own name."""
    with _faults(folder):
        if is_s3(folder):
            bucket, key = split_s3(join_location(folder, path.name))
            s3_client().upload_file(str(path), bucket, key)
            path.unlink()
            return
        with path.open("rb") as file:
            os.fsync(file.fileno())
        target = Path(folder) / path.name
        shutil.move(path, target)  # a rename where the scratch folder is on the same disk
        for place in (target, target.parent, target.parent.parent):
            _sync(place)


def keep_bytes(name: str, data: bytes, folder: str) -> None:
    """Write a small file into the folder, whole or not at all."""
    with _faults(folder):
        if is_s3(folder):
            bucket, key = split_s3(join_location(folder, name))
            s3_client().put_object(Bucket=bucket, Key=key, Body=data)
        else:
            write_atomically(Path(folder) / name, data)


def read_bytes(name: str, folder: str) -> bytes:
    """Read a small file of the folder; raises ArchiveError when it is not there."""
    location = join_location(folder, name)
    with _faults(location), open_binary(location) as file:
        return file.read()


@contextlib.contextmanager
def local_copy(name: str, folder: str, sha256: str, scratch: Path) -> Iterator[Path]:
    """A file of the folder as a local path, its bytes checked; raises ArchiveError when they are others."""
    location = join_location(folder, name)
    path = scratch / name if is_s3(folder) else Path(location)
    try:
        with _faults(location):
            if is_s3(folder):
                bucket, key = split_s3(location)
                scratch.mkdir(parents=True, exist_ok=True)
                s3_client().download_file(bucket, key, str(path))
            found = file_sha256(path)
        if found != sha256:
            raise ArchiveError(f"{location}: its bytes are not those that were written (sha256 {found[:12]}…)")
        yield path
    finally:
        if is_s3(folder):
            path.unlink(missing_ok=True)


def list_folders(prefix: str) -> list[str]:
    """Names of the archives' folders under the prefix."""
    with _faults(prefix):
        if is_s3(prefix):
            key = split_s3(prefix)[1]
            rest = (item.key.removeprefix(key).lstrip("/") for item in list_objects(f"{prefix}/"))
            return sorted({name.partition("/")[0] for name in rest if "/" in name})
        folder = Path(prefix)
        return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _faults(location: str) -> Iterator[None]:
    """Turn the store's errors into ours."""
    if not is_s3(location):
        try:
            yield
        except OSError as error:
            raise ArchiveError(f"{location}: {error.strerror or error}") from error
        return
    from boto3.exceptions import Boto3Error  # slow to import, and only S3 needs it
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (Boto3Error, BotoCoreError, ClientError, OSError) as error:
        raise ArchiveError(f"{location}: the object store says: {error}") from error


def _sync(place: Path) -> None:
    descriptor = os.open(place, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems cannot sync a folder
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
