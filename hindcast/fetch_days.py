"""The files of a fetch: a day is put together out of sight, and appears in the inbox as one export when it is whole."""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Final

from hindcast.atomic import sync_folder
from hindcast.errors import ExportError
from hindcast.fetch_hours import Piece, Pin

# Hidden: an inbox does not look into folders whose name begins with a dot.
WORKPLACE: Final = ".amplitude-fetch"
_PART: Final = ".part"


class Days:
    """The folders of one export's days, those being put together and those delivered."""

    def __init__(self, inbox: Path, name: str) -> None:
        self._inbox, self._name = inbox, name
        self._workplace = inbox / WORKPLACE / name

    def part_of(self, piece: Piece) -> Path:
        """Where a download goes before it is checked."""
        folder = self._workplace / str(piece.day)
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{piece.file_name}{_PART}"

    def keep(self, piece: Piece) -> None:
        """Give a checked download its name, durably; a file of that name is replaced."""
        part = self.part_of(piece)
        part.replace(part.with_suffix(""))
        sync_folder(part.parent)

    def discard(self, piece: Piece) -> None:
        """Remove what another piece has taken the place of, wherever it is."""
        for folder in (self._workplace / str(piece.day), self._delivered(piece.day)):
            (folder / piece.file_name).unlink(missing_ok=True)

    def find_fault(self, piece: Piece, pin: Pin) -> str | None:
        """What is wrong with a pinned file, if anything; reads it whole."""
        for folder in (self._workplace / str(piece.day), self._delivered(piece.day)):
            path = folder / piece.file_name
            if not path.is_file():
                continue
            if _hash(path) == pin.sha256:
                return None
            return f"{path}: not the bytes that were pinned; restore the file, or ask again with --force"
        return f"{self._delivered(piece.day) / piece.file_name}: pinned but gone; restore it, or ask again with --force"

    def sweep(self, day: date, pinned: dict[str, str]) -> None:
        """Finish or remove what a killed fetch left half done; `pinned` has the sha256 of each file's name."""
        folder = self._workplace / str(day)
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.name.endswith(_PART) and _hash(path) == pinned.get(path.name.removesuffix(_PART)):
                path.replace(path.with_suffix(""))
            elif not pinned.get(path.name):
                path.unlink()

    def deliver(self, day: date) -> bool:
        """Show a day in the inbox; True when there was anything to show. A new day appears at once and whole."""
        source, target = self._workplace / str(day), self._delivered(day)
        names = sorted(path.name for path in source.glob("*.zip"))
        if not names:
            with contextlib.suppress(OSError):
                source.rmdir()
            return False
        if not target.exists():
            source.rename(target)
        else:
            for name in names:
                # A folder that grows must look young, or an import could begin between two of its files.
                os.utime(source / name)
                (source / name).replace(target / name)
            sync_folder(target)
            source.rmdir()
        sync_folder(self._inbox)
        return True

    def _delivered(self, day: date) -> Path:
        return self._inbox / f"amplitude-{self._name}-{day}"


def _hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextlib.contextmanager
def alone_in(inbox: Path) -> Iterator[None]:
    """Hold the inbox for this fetch; raises ExportError when another one has it. A process that dies lets go."""
    folder = inbox / WORKPLACE
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ExportError(f"{inbox}: another fetch is writing there; wait for its end") from None
        yield
    finally:
        os.close(descriptor)
