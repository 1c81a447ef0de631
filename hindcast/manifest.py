"""The manifest: what an export turned out to hold, chunk by chunk, sealed by a hash. Loading goes by it alone."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hindcast.derived_choice import CandidatePlace, choose_derived
from hindcast.derived_staging import write_chosen
from hindcast.errors import ExportError
from hindcast.llm_staging import tell_objects_apart
from hindcast.people import settle_people
from hindcast.plan import Plan
from hindcast.pool import map_here
from hindcast.repeat_conflicts import write_conflicts
from hindcast.repeats import ChunkPlace, Repeats, Run, find_repeats, sum_repeated
from hindcast.staged_files import fetch_staged, is_kept, keep_staged
from hindcast.staging import Segment, StagedChunk, read_segment


class Chunk(msgspec.Struct, frozen=True):
    """A chunk in the order of the export: lines and bytes are those of its part, from 1 and 0."""

    number: int
    part: str
    segment: int
    line_base: int
    duplicate: int
    conflict: int
    staged_as: StagedChunk


class Totals(msgspec.Struct):
    """What the whole export holds; duplicates and conflicts are those within the export."""

    lines: int = 0
    staged: int = 0
    rejected: int = 0
    skipped: int = 0
    out_of_window: int = 0
    duplicate: int = 0
    conflict: int = 0
    naive_times: int = 0
    sanitised: int = 0
    damaged_parts: int = 0
    derived: int = 0  # at most: what the table remembers is not made again
    first_at: datetime | None = None
    last_at: datetime | None = None
    rejects: dict[str, int] = {}
    skips: dict[str, int] = {}
    notes: dict[str, int] = {}
    unknown_properties: dict[str, int] = {}


class Manifest(msgspec.Struct):
    """Everything after extraction. `months` counts the events expected in the table by (month, type)."""

    plan_hash: str
    chunks: list[Chunk]
    totals: Totals
    months: list[tuple[str, str, int]]
    part_lines: dict[str, int]
    line_bases: dict[int, int]
    seal: str = ""


def seal_manifest(
    plan: Plan, folder: Path, segment_numbers: list[int], run: Run, confirm: Callable[[], None] = lambda: None
) -> Manifest:
    """Put the segments together, decide the repeats, and write the manifest. The same segments give the same seal.

    `run` has workers find and describe repeats. `confirm` is called before it is written; what it raises leaves none.
    """
    segments = [_require(folder, number) for number in segment_numbers]
    line_bases, part_lines = _count_lines(segments)
    chunks = list(place_chunks(segments))
    places = [ChunkPlace(chunk.segment, chunk.staged_as.row_group, chunk.staged_as.staged) for chunk in chunks]
    # By a worker: Great Expectations holds this interpreter. But not by one that might have to fetch all chunks.
    run_near = map_here if is_kept() else run
    repeats = find_repeats(folder, places, plan.on_conflict == "replace", run_near)
    repeats = tell_objects_apart(folder, places, repeats)
    contradicting = repeats.where(repeats.is_conflict)
    duplicates = repeats.where(~repeats.is_conflict).per_chunk(len(chunks))
    conflicts = contradicting.per_chunk(len(chunks))
    chunks = [
        msgspec.structs.replace(chunk, duplicate=duplicates[chunk.number], conflict=conflicts[chunk.number])
        for chunk in chunks
    ]
    totals = _add_up(segments, sum(duplicates), sum(conflicts))
    repeated, sanitised = sum_repeated(folder, places, repeats, run_near)
    totals.sanitised -= sanitised
    months = _count_expected(segments, repeated)
    _write_repeats(folder, repeats)
    write_conflicts(folder, chunks, contradicting, run)
    totals.derived = _choose_derived(folder, chunks)
    settle_people(plan.format, folder, segment_numbers)
    manifest = Manifest(plan.plan_hash, chunks, totals, months, part_lines, line_bases)
    manifest.seal = _compute_seal(manifest)
    confirm()
    aside = folder / "manifest.json.new"
    aside.write_bytes(msgspec.json.encode(manifest))
    keep_staged(aside, "manifest.json")
    aside.rename(folder / "manifest.json")
    return manifest


def place_chunks(segments: Iterable[Segment]) -> Iterator[Chunk]:
    """Yield the chunks of an export's first segments, in its order, as if they repeated nothing."""
    number, lines = 0, Counter[str]()
    for segment in segments:
        for chunk in segment.chunks:
            yield Chunk(number, segment.part, segment.number, lines[segment.part], 0, 0, chunk)
            number += 1
        lines[segment.part] += segment.lines


def load_manifest(folder: Path) -> Manifest:
    """Read a sealed manifest; raises ExportError when it is missing or not what was sealed."""
    try:
        path = fetch_staged(folder / "manifest.json")
        found = path.stat()
        sealed = _load_sealed(path, (found.st_ino, found.st_size, found.st_mtime_ns))
        return msgspec.structs.replace(sealed, totals=msgspec.structs.replace(sealed.totals))
    except FileNotFoundError:
        raise ExportError(f"{folder}: holds no sealed manifest; run the backfill again to stage the export") from None


@lru_cache(maxsize=1)
def _load_sealed(path: Path, stamp: tuple[int, ...]) -> Manifest:
    # Of a large export it takes as long as a chunk, and every call of a worker asks for it.
    manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    if _compute_seal(manifest) != manifest.seal:
        raise ExportError(f"{path}: changed since it was sealed; delete {path.parent} and run again")
    return manifest


def group_chunks(
    chunks: Sequence[Chunk], numbers: Iterable[int], rows: int, most_bytes: int | None = None
) -> list[tuple[int, ...]]:
    """Group chunk numbers, in order, so that a group holds about `rows` records (always at least one chunk).

    With `most_bytes` a group also ends where its records were about so many bytes in the export, decompressed.
    """
    groups = iter_groups((chunks[number] for number in numbers), rows, most_bytes)
    return [tuple(chunk.number for chunk in group) for group in groups]


def iter_groups(chunks: Iterable[Chunk], rows: int, most_bytes: int | None = None) -> Iterator[tuple[Chunk, ...]]:
    """Yield the groups of `group_chunks`, each as soon as it is whole, the last when there are no more chunks."""
    waiting: list[Chunk] = []
    held, size = 0, 0
    for chunk in chunks:
        waiting.append(chunk)
        held += chunk.staged_as.records
        size += chunk.staged_as.last_byte - chunk.staged_as.first_byte
        if held >= rows or (most_bytes is not None and size >= most_bytes):
            yield tuple(waiting)
            waiting, held, size = [], 0, 0
    if waiting:
        yield tuple(waiting)


def deal_chunks(groups: Sequence[tuple[int, ...]], hands: int) -> list[tuple[int, ...]]:
    """Deal the chunks of every so many groups among them in turn, so that those loaded at once are neighbours.

    Their rows end up in the same blocks of the table: the closer they are in time, the fewer blocks hold a given day.
    """
    dealt: list[tuple[int, ...]] = []
    for first in range(0, len(groups), hands):
        at_once = groups[first : first + hands]
        numbers = [number for group in at_once for number in group]
        dealt.extend(tuple(numbers[hand :: len(at_once)]) for hand in range(len(at_once)))
    return dealt


def read_repeats(folder: Path, chunk: int) -> dict[int, bool]:
    """The rows of a chunk that repeat another record: row -> whether it is a conflict."""
    path = fetch_staged(folder / "repeats.parquet")
    chunks, rows, is_conflict = _load_repeats(path, path.stat().st_mtime_ns)
    first, end = np.searchsorted(chunks, [chunk, chunk + 1])
    return dict(zip(rows[first:end].tolist(), is_conflict[first:end].tolist(), strict=True))


@lru_cache(maxsize=2)
def _load_repeats(path: Path, changed_at_ns: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    # Nine bytes a repeat, in file order; the time of change is part of the key.
    table = pq.read_table(path, use_threads=False)
    return table["chunk"].to_numpy(), table["row"].to_numpy(), table["is_conflict"].to_numpy()


def _require(folder: Path, number: int) -> Segment:
    segment = read_segment(folder, number)
    if segment is None:
        raise ExportError(f"{folder}: segment {number} is not staged; run the backfill again")
    return segment


def _count_lines(segments: Sequence[Segment]) -> tuple[dict[int, int], dict[str, int]]:
    bases: dict[int, int] = {}
    lines: dict[str, int] = {}
    for segment in segments:
        bases[segment.number] = lines.get(segment.part, 0)
        lines[segment.part] = lines.get(segment.part, 0) + segment.lines
    return bases, lines


def _add_up(segments: list[Segment], duplicate: int, conflict: int) -> Totals:
    totals = Totals(duplicate=duplicate, conflict=conflict)
    chunks = [chunk for segment in segments for chunk in segment.chunks]
    totals.lines = sum(chunk.records for chunk in chunks)
    for name in ("staged", "rejected", "skipped", "out_of_window"):
        setattr(totals, name, sum(getattr(chunk, name) for chunk in chunks))
    totals.first_at = min((chunk.first_at for chunk in chunks if chunk.first_at), default=None)
    totals.last_at = max((chunk.last_at for chunk in chunks if chunk.last_at), default=None)
    totals.naive_times = sum(segment.naive_times for segment in segments)
    totals.sanitised = sum(segment.sanitised for segment in segments)
    totals.damaged_parts = sum(segment.is_damaged for segment in segments)
    for name in ("rejects", "skips", "notes", "unknown_properties"):
        counted: Counter[str] = Counter()
        for segment in segments:
            counted.update(getattr(segment, name))
        # In one order, whichever process counted: it is under the seal.
        setattr(totals, name, dict(sorted(counted.items(), key=lambda item: (-item[1], item[0]))))
    return totals


def _count_expected(segments: list[Segment], repeated: Counter[tuple[str, str]]) -> list[tuple[str, str, int]]:
    months: Counter[tuple[str, str]] = Counter()
    for segment in segments:
        months.update({(month, kind): count for month, kind, count in segment.months})
    months.subtract(repeated)
    return sorted((month, kind, count) for (month, kind), count in months.items() if count)


def _choose_derived(folder: Path, chunks: list[Chunk]) -> int:
    places = [
        CandidatePlace(chunk.number, chunk.segment, chunk.staged_as.derived_group, chunk.staged_as.derived)
        for chunk in chunks
        if chunk.staged_as.derived
    ]
    if places:
        chosen = choose_derived(folder, places)
        write_chosen(folder, chosen)
        return int(chosen.num_rows)
    return 0


def _write_repeats(folder: Path, repeats: Repeats) -> None:
    table = pa.table(
        {
            "chunk": pa.array(repeats.chunk, pa.int32()),
            "row": pa.array(repeats.row, pa.int32()),
            "is_conflict": pa.array(repeats.is_conflict, pa.bool_()),
        }
    )
    pq.write_table(table, folder / "repeats.parquet", row_group_size=50_000)
    keep_staged(folder / "repeats.parquet")


def _compute_seal(manifest: Manifest) -> str:
    return hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(manifest, seal=""))).hexdigest()
