"""Opening the members of zip archives, local or on S3, however many and however broken."""

import errno
import struct
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import BinaryIO, cast

from hindcast.storage import is_s3, open_binary


def open_member(stack: ExitStack, location: str, member: str, fingerprint: str) -> BinaryIO:
    """Open a member of the archive with that content; raises BadZipFile for all that is wrong with it."""
    with zip_faults():
        return cast(BinaryIO, stack.enter_context(_open_archives.get(location, fingerprint).open(member)))


class _OpenArchives:
    """Keeps the archive read last open: reading its directory for each of thousands of members would take minutes."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._key: tuple[str, str] | None = None
        self._archive: zipfile.ZipFile | None = None

    def get(self, location: str, fingerprint: str) -> zipfile.ZipFile:
        """The archive with that content; members being read survive its replacement."""
        with self._lock:
            if self._archive is None or self._key != (location, fingerprint):
                opened = zipfile.ZipFile(open_binary(location) if is_s3(location) else location)
                self.close()
                self._key, self._archive = (location, fingerprint), opened
            return self._archive

    def close(self) -> None:
        """Close what is open."""
        if self._archive is not None:
            self._archive.close()
            self._archive = None


_open_archives = _OpenArchives()


@contextmanager
def zip_faults() -> Iterator[None]:
    """Raise BadZipFile for all that zipfile raises on archives made to confuse it."""
    try:
        yield
    except (RuntimeError, ValueError, IndexError, OverflowError, EOFError, struct.error) as error:
        raise zipfile.BadZipFile(str(error)) from None
    except OSError as error:
        if error.errno != errno.EINVAL:  # a seek to before the beginning
            raise
        raise zipfile.BadZipFile("an offset lies outside the archive") from None
