"""Writing a generated export: one file or a folder of parts, plain or compressed, complete or absent."""

import contextlib
import dataclasses
import gzip
import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Protocol

import zstandard

from hindcast.atomic import write_atomically
from hindcast.errors import ConfigurationError
from hindcast.synthetic.spec import Answers, FileFacts, GenerateSpec


def write_export(spec: GenerateSpec, blocks: Iterable[list[str]], is_array: bool = False) -> list[FileFacts]:
    """Write the lines of `blocks`, cut into `spec.parts` nearly equal files, aside, then rename into place.

    A line may hold line breaks (blank lines) and, as lone surrogates U+DC80..DCFF, bytes that are not UTF-8.
    With `is_array` each file is one JSON array, an element a line. An existing file is replaced; a folder that
    holds anything is refused. The old answer key goes first, so that a key always belongs to the export beside it.
    """
    target = spec.out
    refuse_target(target, is_folder=spec.parts > 1)
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        if spec.parts == 1:
            facts = write_parts([aside], blocks, spec, is_array)
        else:
            aside.mkdir()
            facts = write_parts([aside / name for name in part_names(spec)], blocks, spec, is_array)
        answers_path(target).unlink(missing_ok=True)
        aside.replace(target)
    finally:
        if aside.is_dir():
            shutil.rmtree(aside)
        aside.unlink(missing_ok=True)
    return facts


def write_answers(target: Path, answers: Answers) -> None:
    """Put the answer key beside the export, whole or not at all."""
    text = json.dumps(dataclasses.asdict(answers), indent=1, ensure_ascii=False)
    write_atomically(answers_path(target), f"{text}\n".encode())


def answers_path(target: Path) -> Path:
    """Return where the answer key of an export lies: beside it, never inside its folder."""
    return target.with_name(f"{target.name}.answers.json")


def refuse_target(target: Path, is_folder: bool) -> None:
    """Raise ConfigurationError when the rename at the end could not work or would take someone's files."""
    if not is_folder and target.is_dir():
        raise ConfigurationError(f"{target}: is a folder, expected a file name (or parts over one)")
    if is_folder and target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise ConfigurationError(f"{target}: exists, expected a new or empty folder")


def part_names(spec: GenerateSpec) -> list[str]:
    """Name the parts so that their order by name is their order in time."""
    ending = spec.out.suffix if spec.out.suffix in {".gz", ".zst"} else ""
    width = max(4, len(str(spec.parts)))
    return [f"part-{number:0{width}}.jsonl{ending}" for number in range(1, spec.parts + 1)]


def write_parts(paths: list[Path], blocks: Iterable[list[str]], spec: GenerateSpec, is_array: bool) -> list[FileFacts]:
    """Write all parts in turn, each flushed to disk."""
    facts: list[FileFacts] = []
    with contextlib.ExitStack() as open_files:
        part: PartFile | None = None
        for lines in blocks:
            taken = 0
            while taken < len(lines):
                number = len(facts)
                if part is None:
                    part = PartFile(open_files.enter_context(paths[number].open("wb")), spec.out.suffix, is_array)
                size = spec.count * (number + 1) // spec.parts - spec.count * number // spec.parts
                piece = lines[taken : taken + size - part.records]
                part.write(piece)
                taken += len(piece)
                if part.records == size:
                    facts.append(part.close(spec.out.name if spec.parts == 1 else paths[number].name))
                    part = None
    return facts


class Sink(Protocol):
    """What the plain file and both compressors have in common."""

    def write(self, data: bytes, /) -> int: ...
    def close(self) -> None: ...


class HashingFile:
    """A file that remembers the size and hash of what went through it, so it need not be read again."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.size_bytes = 0
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Write and account for all of `data`."""
        self.digest.update(data)
        self.size_bytes += len(data)
        return self.file.write(data)

    def flush(self) -> None:
        """Hand buffered bytes to the system."""
        self.file.flush()

    def close(self) -> None:
        """Close the file once its bytes are on disk."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()


class PartFile:
    """One open part."""

    def __init__(self, file: BinaryIO, ending: str, is_array: bool) -> None:
        self.before, self.between, self.after = (b"[\n", b",\n", b"\n]\n") if is_array else (b"", b"\n", b"\n")
        self.raw = HashingFile(file)
        self.sink = open_sink(self.raw, ending)
        self.records = 0

    def write(self, lines: list[str]) -> None:
        """Append lines, one record each."""
        encoded = [line.encode("utf-8", "surrogateescape") for line in lines]  # joined first, one emoji widens all
        self.sink.write(self.between if self.records else self.before)
        self.sink.write(self.between.join(encoded))
        self.records += len(lines)

    def close(self, name: str) -> FileFacts:
        """Finish the file and return its facts."""
        self.sink.write(self.after)
        if self.sink is not self.raw:
            self.sink.close()
        self.raw.close()
        return FileFacts(name, self.raw.size_bytes, self.records, self.raw.digest.hexdigest())


def open_sink(raw: HashingFile, ending: str) -> Sink:
    """Choose the compressor by the file's ending; neither stores a time or name, so the bytes repeat."""
    if ending == ".gz":
        return gzip.GzipFile(fileobj=raw, filename="", mode="wb", compresslevel=1, mtime=0)  # 1: fast
    if ending == ".zst":
        return zstandard.ZstdCompressor(level=3).stream_writer(raw, closefd=False)  # type: ignore[arg-type]
    return raw
