"""An export's files are hashed once for as long as they stay as they are."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from hindcast import fingerprints
from hindcast.fingerprints import fingerprint_file


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were hashed."""
    hashed: list[str] = []
    real = fingerprints._hash

    def read(file: Any) -> str:
        hashed.append(file.name)
        return real(file)

    monkeypatch.setattr(fingerprints, "_hash", read)
    return hashed


def test_a_settled_file_is_read_once(tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "_SETTLED_NS", -1)
    file = tmp_path / "export.jsonl"
    file.write_bytes(b"one")
    assert fingerprint_file(file) == fingerprint_file(file) == "sha256:" + hashlib.sha256(b"one").hexdigest()
    assert len(read) == 1


@pytest.mark.parametrize("size", [0, 9, 10, 11, 25])
def test_a_file_is_hashed_whole_however_many_blocks_it_takes(
    tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprints, "_BLOCK_BYTES", 10)
    file = tmp_path / "export.jsonl"
    file.write_bytes(bytes(range(size)))
    assert fingerprint_file(file) == "sha256:" + hashlib.sha256(bytes(range(size))).hexdigest()


def test_a_file_just_written_is_read_again(tmp_path: Path, read: list[str]) -> None:
    file = tmp_path / "export.jsonl"
    file.write_bytes(b"one")
    assert fingerprint_file(file) == fingerprint_file(file)
    assert len(read) == 2


def test_a_change_whose_time_was_set_back_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "_SETTLED_NS", -1)
    file = tmp_path / "export.jsonl"
    file.write_bytes(b"one")
    before = fingerprint_file(file)
    facts = file.stat()
    while file.stat().st_ctime_ns == facts.st_ctime_ns:  # a clock of a few milliseconds
        file.write_bytes(b"two")
        os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert file.stat().st_mtime_ns == facts.st_mtime_ns
    assert fingerprint_file(file) != before
