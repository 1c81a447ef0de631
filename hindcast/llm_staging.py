"""Staging the objects of large values: their bytes one after the other in a file beside the segment's events.

`segment-N.objects` holds the bytes, `segment-N.objects.jsonl` says which event each belongs to and where it is. Only
segments with large values have them.
"""

import hashlib
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import IO, Final

import msgspec
import numpy as np

from hindcast.errors import ExportError
from hindcast.event import Event
from hindcast.formats.llm_analytics import LargeEvent
from hindcast.objects.content import BUFFER_BYTES
from hindcast.objects.multipart import MultipartObject
from hindcast.objects.teams import key_of
from hindcast.repeats import ChunkPlace, Repeats
from hindcast.staged_files import fetch_staged
from hindcast.staging import find_optional, read_chunk, segment_path

BODIES: Final = "objects"
INDEX: Final = "objects.jsonl"


class StagedObject(msgspec.Struct, frozen=True):
    """An object to be put: its bytes are `size` from `offset` of the bodies. `line` is counted within the segment.

    `ranges` gives each property's first and last byte in the object, and the SHA-256 of what is between.
    """

    line: int
    key: str
    team: str
    event_uuid: str
    offset: int
    size: int
    sha256: str
    content_type: str
    ranges: dict[str, tuple[int, int, str]]


class ObjectStager:
    """Writes the objects of a segment's events; they appear whole or not at all."""

    def __init__(self, folder: Path, number: int) -> None:
        self._paths = [segment_path(folder, number, suffix) for suffix in (BODIES, INDEX)]
        self._asides = [path.with_name(f"{path.name}-new-{os.getpid()}") for path in self._paths]
        self._files: list[IO[bytes]] = []
        self._opened = ExitStack()
        self._offset = 0

    def add(self, events: Sequence[Event], numbers: Sequence[int]) -> None:
        """Write the objects of these events, with the lines of their records, and let go of them."""
        for event, number in zip(events, numbers, strict=True):
            if isinstance(event, LargeEvent) and event.bundle:
                self._write(event, event.bundle, number)
                event.bundle = None

    def seal(self) -> None:
        """Let the files appear; without objects there are none."""
        is_used = bool(self._files)
        self._close()
        for aside, path in zip(self._asides, self._paths, strict=True):
            if is_used:
                aside.rename(path)
            else:
                path.unlink(missing_ok=True)

    def discard(self) -> None:
        """Leave nothing of an attempt that failed; after `seal` there is nothing to leave."""
        self._close()
        for aside in self._asides:
            aside.unlink(missing_ok=True)

    def _write(self, event: Event, bundle: MultipartObject, number: int) -> None:
        if not self._files:
            self._files = [self._opened.enter_context(aside.open("wb")) for aside in self._asides]
        bodies, index = self._files
        for block in bundle.content:
            bodies.write(block)
        assert event.source_event_id
        staged = StagedObject(
            number,
            key_of(event.tenant, event.source_event_id),
            event.tenant,
            event.source_event_id,
            self._offset,
            bundle.content.size,
            bundle.content.sha256,
            bundle.content_type,
            {name: (*reach, _hash_range(bundle, *reach)) for name, reach in bundle.ranges.items()},
        )
        index.write(msgspec.json.encode(staged) + b"\n")
        self._offset += bundle.content.size

    def _close(self) -> None:
        self._opened.close()
        self._files = []


def read_staged_objects(folder: Path, segment: int) -> dict[int, StagedObject]:
    """The objects of a segment by the lines of their records, counted within the segment."""
    path = find_optional(folder, segment, INDEX)
    try:
        return _read_index(path, path.stat().st_mtime_ns)
    except FileNotFoundError:
        return {}


def open_bodies(folder: Path, segment: int) -> IO[bytes]:
    """The file with the bytes of a segment's objects; raises ExportError when it is gone."""
    path = fetch_staged(segment_path(folder, segment, BODIES))
    try:
        return path.open("rb", buffering=0)
    except FileNotFoundError:
        raise ExportError(f"{path.name}: staged objects are gone; run the backfill again to stage them") from None


def tell_objects_apart(folder: Path, places: Sequence[ChunkPlace], repeats: Repeats) -> Repeats:
    """Repeats, those with other bytes in their objects than the winner's as conflicts: their rows may be alike."""
    if not any(segment_path(folder, place.segment, INDEX).exists() for place in places):
        return repeats

    def digest(chunk: int, row: int) -> str | None:
        line = _read_lines(folder, places[chunk].segment, places[chunk].row_group)[row]
        staged = read_staged_objects(folder, places[chunk].segment).get(line)
        return staged.sha256 if staged else None

    differ = [r.is_conflict or digest(r.chunk, r.row) != digest(r.winner_chunk, r.winner_row) for r in repeats]
    return replace(repeats, is_conflict=np.array(differ, np.bool_))


def _hash_range(bundle: MultipartObject, first: int, last: int) -> str:
    digest = hashlib.sha256()
    while first <= last:
        block = bundle.content.read_at(first, min(BUFFER_BYTES, last + 1 - first))
        digest.update(block)
        first += len(block)
    return digest.hexdigest()


@lru_cache(maxsize=4)
def _read_index(path: Path, changed_at_ns: int) -> dict[int, StagedObject]:
    found = msgspec.json.Decoder(StagedObject).decode_lines(path.read_bytes())
    return {staged.line: staged for staged in found}


@lru_cache(maxsize=16)
def _read_lines(folder: Path, segment: int, row_group: int) -> list[int]:
    return list(read_chunk(folder, segment, row_group, ["line"])["line"].to_pylist())
