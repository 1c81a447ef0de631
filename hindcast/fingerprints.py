"""SHA-256 of files, read once for as long as they stay as they are."""

import hashlib
import os
import time
from io import FileIO
from pathlib import Path
from typing import Final

# Of a file changed so recently, a change still to come may carry the same time.
_SETTLED_NS: Final = 10 * 10**9
# Between blocks a thread has to wait for the interpreter, which somebody's import may hold for seconds: `file_digest`
# takes 256 KiB at a time, and then three seconds instead of a half for 600 MB.
_BLOCK_BYTES: Final = 32 * 1024 * 1024
_known: dict[tuple[int, ...], str] = {}


def fingerprint_file(path: Path) -> str:
    """`sha256:...` of a file's bytes.

    A file is not read twice by one process when its state is what it was before and after the first reading, and it
    had lain untouched for ten seconds by then.
    """
    with path.open("rb", buffering=0) as file:
        state = file_state(os.fstat(file.fileno()))
        if state in _known:
            return _known[state]
        is_settled = time.time_ns() - max(state[-2:]) > _SETTLED_NS
        found = "sha256:" + _hash(file)
        if is_settled and file_state(os.fstat(file.fileno())) == state:
            _known[state] = found
    return found


def _hash(file: FileIO) -> str:
    digest, block = hashlib.sha256(), memoryview(bytearray(min(_BLOCK_BYTES, os.fstat(file.fileno()).st_size + 1)))
    while size := file.readinto(block):
        digest.update(block[:size])
    return digest.hexdigest()


def file_state(facts: os.stat_result) -> tuple[int, ...]:
    """What changes with a file: device, inode, size and both times of change, of which no program can set back one."""
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns
