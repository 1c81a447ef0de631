"""Our entry in `server_health_report.json`, a file that belongs to the platform.

We own one key, `hindcast`; every other value is carried over byte for byte, in its order.
"""

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

from hindcast.atomic import write_atomically
from hindcast.errors import ConfigurationError

OUR_KEY = "hindcast"
ENTRIES_KEPT = 100  # the file is fetched by a health page; the ledger keeps the full history


@dataclass(frozen=True)
class HealthEntry:
    """One import, as the health report tells it. `date_time` is ISO 8601 in UTC; `operator` is initials."""

    date_time: str
    dataset: str
    row_count: int
    operator: str
    run_id: str
    status: str


def add_health_entry(path: Path, entry: HealthEntry) -> None:
    """Append `entry` to `hindcast.imports` and keep the last hundred; the same run_id replaces its entry.

    Safe to run twice, and beside another writer of ours. The file is created when missing, its mode is kept.
    Raises ConfigurationError, with the file untouched, when it is not a JSON object or cannot be written.
    """
    try:
        target = path.resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        with _lock(target):
            old = target.read_bytes() if target.exists() else None
            write_atomically(target, _with_entry(path, old, entry))
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of symlinks, from Path.resolve
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(
            f"{path}: the health report cannot be written: {reason}; make it writable or set "
            "HINDCAST_HEALTH_REPORT to another file"
        ) from error


@contextmanager
def _lock(target: Path) -> Iterator[None]:
    """Hold a lock beside the file: the file itself is replaced, so a lock on it would guard the old one.

    The lock file stays: removing it would let a third writer lock another file of the same name.
    """
    descriptor = os.open(target.with_name(f".{target.name}.lock"), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _with_entry(path: Path, old: bytes | None, entry: HealthEntry) -> bytes:
    indent = _indent(old)
    values: dict[str, bytes] = {}
    ours: dict[str, Any] = {}
    if old is not None:
        values, ours = _read(path, old)
    imports = [kept for kept in ours.get("imports", []) if kept.get("run_id") != entry.run_id]
    ours["imports"] = [*imports, asdict(entry)][-ENTRIES_KEPT:]
    text = json.dumps(ours, indent=indent or None, ensure_ascii=False)
    values[OUR_KEY] = text.replace("\n", "\n" + indent).encode("utf-8", "backslashreplace")
    newline, space = ("\n", " ") if indent else ("", "")
    lines = [f"{indent}{json.dumps(key, ensure_ascii=False)}:{space}".encode() + raw for key, raw in values.items()]
    body = f",{newline}".encode().join(lines)
    ending = b"\n" if old is None or old.endswith(b"\n") else b""
    return b"{" + newline.encode() + body + newline.encode() + b"}" + ending


def _read(path: Path, old: bytes) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The raw bytes of every top-level value, and ours decoded."""
    try:
        raw = msgspec.json.decode(old, type=dict[str, msgspec.Raw])
        ours = msgspec.json.decode(raw[OUR_KEY], type=dict[str, Any]) if OUR_KEY in raw else {}
        msgspec.convert(ours.get("imports", []), list[dict[str, Any]])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{path}: expected one JSON object whose {OUR_KEY!r} holds a list of imports: {error}; the file "
            "is untouched: repair or move it, or set HINDCAST_HEALTH_REPORT to another file"
        ) from error
    return {key: bytes(value) for key, value in raw.items()}, ours


def _indent(old: bytes | None) -> str:
    """The file's own indentation; '' for a file on one line, two spaces for a new one."""
    if old is None:
        return "  "
    found = re.match(rb"\s*\{\s*\n([ \t]+)\"", old)
    return found.group(1).decode() if found else ""
