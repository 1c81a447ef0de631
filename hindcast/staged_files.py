"""Staged files on S3, where HINDCAST_STAGING says so: each host's folder is then its working copy.

A file is put whole. The last of a segment's is its `.json`, the last of all is the manifest: what has those is
complete. Without the setting nothing here asks or costs anything.
"""

import contextlib
import hashlib
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from hindcast.archive_store import file_sha256
from hindcast.errors import ExportError, ObjectError, StoreUnavailable
from hindcast.settings import load_settings
from hindcast.storage import list_objects, s3_client, split_s3

_AT_ONCE: Final = 8
_TRIES: Final = 3
_BLOCK_BYTES: Final = 1 << 20
_ABSENT: Final = ("NoSuchKey", "404")
_TAKEN: Final = ("PreconditionFailed", "412", "ConditionalRequestConflict")


def is_kept() -> bool:
    """Whether staged files are kept on S3."""
    return bool(load_settings().staging)


def local_folder(reference: str) -> Path:
    """This host's copy of the staging folder that a call names, perhaps by its path on another host."""
    settings = load_settings()
    return settings.staging_dir / Path(reference).name if settings.staging else Path(reference)


def fetch_staged(path: Path) -> Path:
    """The path itself; a staged file that is not there is fetched first. Processes may race.

    Raises ExportError when it is not on S3 either, or is not what was put.
    """
    if is_kept() and not path.exists():
        _fetch(path)
    return path


def fetch_all(folder: Path, but: str) -> None:
    """Fetch the folder's files that are not here, except those with that suffix."""
    if is_kept():
        _fetch_many(folder, (name for name in list_kept(folder) if not name.endswith(but)))


def fetch_named(folder: Path, names: Iterable[str]) -> None:
    """Fetch those of the names that are not here."""
    _fetch_many(folder, names)


def fetch_again(folder: Path, names: Iterable[str]) -> None:
    """Put the files as they are on S3 in the place of those here; nothing where none are kept there."""
    if is_kept():
        for name in sorted(list_kept(folder) & set(names)):
            _fetch(folder / name)


def list_kept(folder: Path) -> set[str]:
    """Names of the folder's files on S3."""
    location = f"{_prefix(folder)}/"
    key = split_s3(location)[1]
    with _faults(location):
        return {item.key.removeprefix(key) for item in list_objects(location)}


def keep_staged(path: Path, name: str = "") -> None:
    """Put a file on S3, as `name` when it is not yet called so here; without the setting do nothing."""
    if is_kept():
        location = _location(path.with_name(name) if name else path)
        bucket, key = split_s3(location)
        with _faults(location):
            s3_client().upload_file(str(path), bucket, key, ExtraArgs={"Metadata": {"sha256": file_sha256(path)}})


def keep_first(path: Path, name: str) -> bool:
    """Put a small file on S3 under that name unless it is taken; False when it is."""
    location = _location(path.with_name(name))
    bucket, key = split_s3(location)
    metadata = {"sha256": file_sha256(path)}
    try:
        with _faults(location):
            s3_client().put_object(Bucket=bucket, Key=key, Body=path.read_bytes(), Metadata=metadata, IfNoneMatch="*")
    except FileExistsError:
        return False
    return True


def read_kept(path: Path) -> bytes | None:
    """The bytes of a small file as they are on S3; None when it is not there, or nothing is kept there."""
    if not is_kept():
        return None
    location = _location(path)
    bucket, key = split_s3(location)
    try:
        with _faults(location):
            return bytes(s3_client().get_object(Bucket=bucket, Key=key)["Body"].read())
    except FileNotFoundError:
        return None


def _prefix(folder: Path) -> str:
    return f"{load_settings().staging}/{folder.name}"


def _location(path: Path) -> str:
    return f"{_prefix(path.parent)}/{path.name}"


def _fetch_many(folder: Path, names: Iterable[str]) -> None:
    missing = [folder / name for name in sorted(names) if not (folder / name).exists()]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(fetch_staged, missing):
            pass


def _fetch(path: Path) -> None:
    for tries_left in reversed(range(_TRIES)):
        try:
            _fetch_once(path)
            return
        except StoreUnavailable:  # the client tries requests again, but not an answer that broke off
            if not tries_left:
                raise


def _fetch_once(path: Path) -> None:
    location = _location(path)
    bucket, key = split_s3(location)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.fetched")
    try:
        with _faults(location):
            found = s3_client().get_object(Bucket=bucket, Key=key)
            digest = _write(aside, found["Body"].iter_chunks(_BLOCK_BYTES))
            if (aside.stat().st_size, digest) != (found["ContentLength"], found["Metadata"].get("sha256")):
                raise ExportError(
                    f"{location}: its bytes are not those that were staged (sha256 {digest[:12]}…); "
                    f"delete {_prefix(path.parent)}/ and run the backfill again"
                )
            aside.rename(path)
    except FileNotFoundError:
        raise ExportError(f"{location}: staged files are gone; run the backfill again to stage them") from None
    finally:
        aside.unlink(missing_ok=True)


def _write(path: Path, blocks: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for block in blocks:
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


@contextlib.contextmanager
def _faults(location: str) -> Iterator[None]:
    """Turn the store's errors into ours; what is absent is a FileNotFoundError, what is taken a FileExistsError."""
    from boto3.exceptions import Boto3Error  # slow to import, and only S3 needs it
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        answer: Any = error.response.get("Error", {}).get("Code", "")
        if answer in _ABSENT:
            raise FileNotFoundError(location) from None
        if answer in _TAKEN:
            raise FileExistsError(location) from None
        raise ObjectError(f"{location}: the store answers {answer}; check HINDCAST_STAGING and the keys") from error
    except Boto3Error as error:
        raise ObjectError(f"{location}: {' '.join(str(error).split())[:200]}") from error
    except BotoCoreError as error:
        raise StoreUnavailable(
            f"{location}: {type(error).__name__}; check AWS_ENDPOINT_URL, the keys and the network"
        ) from error
