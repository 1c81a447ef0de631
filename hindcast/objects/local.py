"""Objects in a folder: `<folder>/<bucket>/<key>` holds the bytes, `.about/` beside the keys what else is known."""

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from hindcast.atomic import sync_folder, write_atomically
from hindcast.errors import AccessRefused, ObjectConflict, ObjectError, StoreUnavailable
from hindcast.objects.content import BUFFER_BYTES, Content
from hindcast.objects.keys import check_bucket, check_key, check_prefix
from hindcast.objects.store import Head
from hindcast.storage import StoredObject

_ABOUT: Final = ".about"  # no key has a segment that begins with a dot
_UPLOADS: Final = ".uploads"


class LocalStore:
    """A bucket that is a folder. An object appears whole, under a name that was free; symlinks are not followed."""

    def __init__(self, folder: Path, bucket: str) -> None:
        check_bucket(bucket)
        self.bucket = bucket
        self._root = (folder / bucket).resolve()

    def __str__(self) -> str:
        return str(self._root)

    def put(self, key: str, content: Content, content_type: str, metadata: dict[str, str]) -> bool:
        path = self._find(key)
        with _faults_of(key):
            is_new = not path.exists() and self._link(path, content)
            if not is_new and _hash_file(path) != content.sha256:
                raise ObjectConflict(f"object {key}: holds other bytes than these {content.size:,}; left as it is")
            about = self._about(key)
            if is_new or not about.exists():  # absent: whoever put it died in between
                about.parent.mkdir(parents=True, exist_ok=True)
                facts = {"content_type": content_type, "metadata": {**metadata, "sha256": content.sha256}}
                write_atomically(about, json.dumps(facts).encode())
        return is_new

    def head(self, key: str) -> Head:
        with _faults_of(key):
            with self._open(key) as file:
                size = os.fstat(file.fileno()).st_size
            try:
                facts = json.loads(self._about(key).read_text())
            except FileNotFoundError:
                facts = {
                    "content_type": "application/octet-stream",
                    "metadata": {"sha256": _hash_file(self._find(key))},
                }
            return Head(key, size, facts["content_type"], facts["metadata"])

    def stream(self, key: str, first: int = 0, last: int | None = None) -> Iterator[bytes]:
        with _faults_of(key), self._open(key) as file:
            size = os.fstat(file.fileno()).st_size
            end = size if last is None else last + 1
            if not 0 <= first <= end <= size:
                raise ObjectError(f"object {key}: bytes {first}-{end - 1} asked, it has {size}")
            file.seek(first)
            while first < end and (block := file.read(min(BUFFER_BYTES, end - first))):
                first += len(block)
                yield block

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        check_prefix(prefix)
        folder = self._root / prefix.rpartition("/")[0]
        for path in sorted(_files_below(folder), key=lambda path: path.relative_to(self._root).as_posix()):
            key = path.relative_to(self._root).as_posix()
            if key.startswith(prefix):
                with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                    found = path.stat()
                    changed_at = datetime.fromtimestamp(found.st_mtime, UTC)
                    yield StoredObject(key, found.st_size, f"{found.st_mtime_ns:x}-{found.st_size:x}", changed_at)

    def delete(self, key: str) -> None:
        with _faults_of(key):
            self._find(key).unlink(missing_ok=True)
            self._about(key).unlink(missing_ok=True)

    def discard_unfinished(self, before: datetime) -> int:
        left = [path for path in (self._root / _UPLOADS).glob("*") if path.stat().st_mtime < before.timestamp()]
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)

    def _link(self, path: Path, content: Content) -> bool:
        """Write aside, then give it its name: fails when the name is taken, and is never seen half."""
        uploads = self._root / _UPLOADS
        uploads.mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = uploads / secrets.token_hex(16)
        try:
            with temporary.open("xb") as file:
                for block in content:
                    file.write(block)
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, path)
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)
        return True

    def _about(self, key: str) -> Path:
        return self._root / _ABOUT / f"{key}.json"

    def _find(self, key: str) -> Path:
        check_key(key)
        path = self._root / key
        if os.path.realpath(path) != str(path):
            raise AccessRefused(f"object {key}: a symlink on the way to it")
        return path

    def _open(self, key: str) -> BinaryIO:
        descriptor = os.open(self._find(key), os.O_RDONLY | os.O_NOFOLLOW)
        file = os.fdopen(descriptor, "rb")
        if not os.path.isfile(descriptor):  # noqa: PTH113  # a descriptor has no Path
            file.close()
            raise FileNotFoundError(f"object {key}: no such object")
        return file


def _files_below(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(parent, name)
            if not name.startswith(".") and not path.is_symlink():
                yield path


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _faults_of(key: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise FileNotFoundError(f"object {key}: no such object") from None
    except OSError as error:
        raise StoreUnavailable(f"object {key}: {error.strerror or error}") from error
