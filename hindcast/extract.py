"""Extract: read an export, decide each record once, write it to exactly one place: a staged chunk, a reject, a skip."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from hindcast.errors import ExportError, RecordError
from hindcast.event import Event, Identified, Skipped, identify
from hindcast.export import DAMAGE, Bounds, Part, open_part
from hindcast.formats import find_format
from hindcast.formats.base import Context
from hindcast.manifest import Manifest, seal_manifest
from hindcast.plan import Plan, check_unchanged, load_plan
from hindcast.pool import WorkerPool
from hindcast.records import Progress, RawRecord, iter_array, iter_lines
from hindcast.settings import Settings, load_settings
from hindcast.staging import (
    SCHEMA,
    Reject,
    Segment,
    StagedChunk,
    count_months,
    read_segment,
    seal_segment,
    segment_path,
    show_raw,
)
from hindcast.times import from_microseconds
from hindcast.window import Window

# High-entropy columns gain nothing from a dictionary and cost time.
_DICTIONARY_COLUMNS: Final = [
    "tenant",
    "event_type",
    "course_id",
    "lesson_id",
    "module_id",
    "user_agent",
    "user_id",
]


@dataclass(frozen=True)
class SegmentTask:
    """One byte range of one part; `limit` is how many records it may read."""

    number: int
    part_index: int
    start: int
    end: int | None
    limit: int | None = None


def stage_export(plan: Plan, folder: Path, pool: WorkerPool, on_progress: Callable[[Segment], None]) -> Manifest:
    """Stage every segment not staged yet and seal the manifest. Safe to run again after any interruption.

    Raises ExportError when a part changed while it was read.
    """
    tasks = list_segments(plan)
    if plan.limit is None:
        waiting = []
        for task in tasks:
            segment = read_segment(folder, task.number)
            if segment:
                on_progress(segment)
            else:
                waiting.append((str(folder), task))
        for segment in pool.map_unordered("hindcast.extract:stage_segment", waiting):
            on_progress(segment)
    else:
        tasks = _stage_limited(plan.limit, tasks, folder, pool, on_progress)
    check_unchanged(plan)
    return seal_manifest(plan, folder, [task.number for task in tasks])


def list_segments(plan: Plan) -> list[SegmentTask]:
    """Cut the parts into byte ranges that do not depend on how many workers there are."""
    tasks: list[SegmentTask] = []
    for index, part in enumerate(plan.parts):
        if not part.is_splittable:
            tasks.append(SegmentTask(len(tasks), index, 0, None))
            continue
        for start in range(0, max(part.size_bytes, 1), plan.segment_bytes):
            end = min(start + plan.segment_bytes, part.size_bytes)
            tasks.append(SegmentTask(len(tasks), index, start, end))
    return tasks


def stage_segment(folder: str, task: SegmentTask) -> Segment:
    """Stage one segment; runs in a worker. Its files appear whole or not at all."""
    plan = load_plan(Path(folder))
    settings = load_settings()
    part = plan.parts[task.part_index]
    bounds = Bounds(settings.max_decompression_ratio, settings.max_member_bytes)
    stager = _Stager(plan, Path(folder), task, make_context(plan, settings))
    with stager:
        for record in _read_records(part, task, plan, bounds, stager):
            stager.add(record)
            if task.limit is not None and stager.records >= task.limit:
                break
        stager.finish()
    return stager.segment


def make_context(plan: Plan, settings: Settings) -> Context:
    """What decoding needs, from the plan and the settings (the secret is in no plan)."""
    secret = settings.pii_secret
    key = secret.get_secret_value().encode() if secret else None
    return Context(latest=plan.latest, tenant=plan.tenant, options=plan.options, pii_key=key)


def _stage_limited(
    limit: int,
    tasks: list[SegmentTask],
    folder: Path,
    pool: WorkerPool,
    on_progress: Callable[[Segment], None],
) -> list[SegmentTask]:
    done: list[SegmentTask] = []
    for task in tasks:
        segment = read_segment(folder, task.number)
        if segment is None:
            limited = SegmentTask(task.number, task.part_index, task.start, task.end, limit)
            segment = pool.call("hindcast.extract:stage_segment", str(folder), limited)
        on_progress(segment)
        done.append(task)
        limit -= sum(chunk.records for chunk in segment.chunks)
        if limit <= 0:
            break
    return done


def _read_records(part: Part, task: SegmentTask, plan: Plan, bounds: Bounds, stager: "_Stager") -> Iterator[RawRecord]:
    progress = stager.progress
    try:
        with open_part(part, max(task.start - 1, 0), bounds) as stream:
            if part.is_array:
                yield from iter_array(stream, plan.max_line_bytes, progress)
            else:
                yield from iter_lines(stream, task.start, task.end, plan.max_line_bytes, progress)
    except DAMAGE as error:
        progress.lines += 1
        stager.segment.is_damaged = True
        fault = RecordError("damaged_part", f"the archive breaks off or is damaged here: {error}; export it again")
        yield RawRecord(progress.lines, task.start + progress.bytes_read, b"", fault)
    except FileNotFoundError:
        raise ExportError(f"{part.name}: the file is gone; put it back and run again") from None


class _Stager:
    """Collects one segment's events into chunks and writes them."""

    def __init__(self, plan: Plan, folder: Path, task: SegmentTask, context: Context) -> None:
        self._plan, self._folder, self._context = plan, folder, context
        self._format = find_format(plan.format)
        self._window = Window(plan.start, plan.end)
        self._has_window = self._window != Window()
        part = plan.parts[task.part_index]
        self.progress = Progress()
        self.records = 0
        self.segment = Segment(task.number, part.name, task.start)
        self.segment.chunks = []
        self._aside = segment_path(folder, task.number, f"new-{os.getpid()}")
        self._rejects_aside = segment_path(folder, task.number, f"rejects-new-{os.getpid()}")
        self._months: Counter[tuple[str, str]] = Counter()
        self._rejects: dict[str, int] = {}
        self._skips: dict[str, int] = {}
        self._row_groups = 0
        self._begin_chunk()

    def __enter__(self) -> "_Stager":
        self._rejects_file = self._rejects_aside.open("wb")
        self._writer = pq.ParquetWriter(
            self._aside,
            SCHEMA,
            compression="lz4",
            use_dictionary=_DICTIONARY_COLUMNS,
            write_statistics=False,
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._writer.close()
            self._rejects_file.close()
            if kind is None:
                self._seal()
        finally:
            self._rejects_file.close()
            self._aside.unlink(missing_ok=True)  # renamed by now when all went well
            self._rejects_aside.unlink(missing_ok=True)

    def _seal(self) -> None:
        segment, context = self.segment, self._context
        segment.lines, segment.bytes_read = self.progress.lines, self.progress.bytes_read
        segment.months = sorted((month, kind, count) for (month, kind), count in self._months.items())
        segment.rejects, segment.skips = self._rejects, self._skips
        segment.notes = dict(context.notes)
        for name, count in context.unknown_properties.most_common(1_000):
            shown = self._format.redact(name)
            segment.unknown_properties[shown] = segment.unknown_properties.get(shown, 0) + count
        self._aside.rename(segment_path(self._folder, segment.number, "parquet"))
        self._rejects_aside.rename(segment_path(self._folder, segment.number, "rejects.jsonl"))
        seal_segment(self._folder, segment)

    def add(self, record: RawRecord) -> None:
        """Decide one record."""
        chunk = self._chunk
        if chunk.records == self._plan.chunk_size:
            self._end_chunk(record.offset)
            chunk = self._chunk
        if not chunk.records:
            chunk.first_line, chunk.first_byte = record.number, record.offset
        chunk.records += 1
        self.records += 1
        chunk.last_line = record.number
        try:
            if record.fault:
                raise record.fault
            decoded = self._format.decode(record.raw, self._context)
            if isinstance(decoded, Skipped):
                chunk.skipped += 1
                self._skips[decoded.reason] = self._skips.get(decoded.reason, 0) + 1
                return
            if decoded.is_naive:
                self.segment.naive_times += 1
            if self._has_window and not self._window.contains(decoded.occurred_at):
                chunk.out_of_window += 1
                return
            self._append(decoded, identify(decoded, self._plan.format), record)
        except RecordError as fault:
            self._reject(record, fault)

    def finish(self) -> None:
        """Write the last chunk, after the last record."""
        self._end_chunk(self.segment.start + self.progress.bytes_read)

    def _append(self, event: Event, derived: Identified, record: RawRecord) -> None:
        self._rows.append(
            (
                derived.event_id,
                derived.microseconds,
                event.tenant,
                event.event_type,
                event.user_id,
                event.anonymous_id,
                event.session_id,
                event.course_id,
                event.lesson_id,
                event.module_id,
                event.user_agent,
                derived.payload,
                event.source_event_id,
                record.number,
                record.offset,
                derived.identity,
                derived.content_hash,
                event.is_sanitised,
            )
        )

    def _reject(self, record: RawRecord, fault: RecordError) -> None:
        self._chunk.rejected += 1
        self._rejects[fault.code] = self._rejects.get(fault.code, 0) + 1
        shown = show_raw(record.raw, self._format.redact)
        sentence = self._format.redact(fault.sentence)
        reject = Reject(self.segment.part, record.number, record.offset, fault.code, sentence, shown)
        self._rejects_file.write(msgspec.json.encode(reject) + b"\n")

    def _begin_chunk(self) -> None:
        self._chunk = StagedChunk()
        self._rows: list[tuple[Any, ...]] = []

    def _end_chunk(self, end: int) -> None:
        chunk = self._chunk
        if not chunk.records:
            return
        chunk.last_byte = end
        chunk.staged = len(self._rows)
        if self._rows:
            columns = list(zip(*self._rows, strict=True))
            table = pa.table([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)
            self._writer.write_table(table, row_group_size=len(self._rows))
            chunk.row_group = self._row_groups
            self._row_groups += 1
            chunk.first_at, chunk.last_at = (
                from_microseconds(min(columns[1])),
                from_microseconds(max(columns[1])),
            )
            self._months.update(count_months(table))
            self.segment.sanitised += sum(columns[-1])
        self.segment.chunks.append(chunk)
        self._begin_chunk()
