"""Staging one segment: each record is decided once and goes to a staged chunk, the rejects, or a counted skip."""

import gc
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from hindcast.derived_staging import DerivedStager
from hindcast.errors import RecordError
from hindcast.event import Event, Skipped
from hindcast.event_columns import EventColumns
from hindcast.formats import decode_batch, find_format
from hindcast.formats.base import Context, PlainNames
from hindcast.kernel import has_kernel
from hindcast.kernel_columns import KernelColumns, PlainRules
from hindcast.llm_staging import ObjectStager
from hindcast.people import Sightings
from hindcast.plan import Plan
from hindcast.records import Batch, Progress
from hindcast.staging import (
    EVENTS_SUFFIX,
    ChunkWriter,
    Reject,
    Segment,
    StagedChunk,
    count_months,
    seal_segment,
    segment_path,
    show_raw,
)
from hindcast.times import from_microseconds
from hindcast.window import Window

_NOT_IMPORTED: Final = "events are not imported (import_events=false)"


class Stager:
    """Collects one segment's events into chunks and writes them; its files appear whole or not at all."""

    def __init__(self, plan: Plan, folder: Path, segment: Segment, context: Context) -> None:
        self._plan, self._folder, self._context = plan, folder, context
        self._format = find_format(plan.format)
        self._window = Window(plan.start, plan.end)
        self._has_window = self._window != Window()
        self._plain: PlainNames | None = getattr(self._format, "PLAIN", None)
        self._columns: EventColumns | KernelColumns = (
            KernelColumns(plan.format, PlainRules(context, self._plain, self._window))
            if has_kernel()
            else EventColumns(plan.format)
        )
        self.progress = Progress()
        self.records = 0
        self.segment = segment
        self.segment.chunks = []
        self._aside = segment_path(folder, segment.number, f"new-{os.getpid()}")
        self._rejects_aside = segment_path(folder, segment.number, f"rejects-new-{os.getpid()}")
        self._months: Counter[tuple[str, str]] = Counter()
        self._rejects: dict[str, int] = {}
        self._skips: dict[str, int] = {}
        self._derived = DerivedStager(self._format, plan.options, folder, segment.number)
        self._objects = ObjectStager(folder, segment.number)
        self._sightings = Sightings(plan.format)
        self._begin_chunk()

    def __enter__(self) -> "Stager":
        self._rejects_file = self._rejects_aside.open("wb")
        self._writer = ChunkWriter(self._aside)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._writer.close()
            self._rejects_file.close()
            if kind is None:
                self._seal()
        finally:
            self._rejects_file.close()
            self._derived.discard()
            self._objects.discard()
            self._aside.unlink(missing_ok=True)  # renamed by now when all went well
            self._rejects_aside.unlink(missing_ok=True)

    def _seal(self) -> None:
        segment, context = self.segment, self._context
        segment.lines, segment.bytes_read = self.progress.lines, self.progress.bytes_read
        segment.months = sorted((month, kind, count) for (month, kind), count in self._months.items())
        segment.rejects, segment.skips = self._rejects, self._skips
        segment.notes = dict(context.notes)
        commonest = sorted(context.unknown_properties.items(), key=lambda item: (-item[1], item[0]))
        for name, count in commonest[:1_000]:
            shown = self._format.redact(name)
            segment.unknown_properties[shown] = segment.unknown_properties.get(shown, 0) + count
        self._derived.seal()
        self._objects.seal()
        self._aside.rename(segment_path(self._folder, segment.number, EVENTS_SUFFIX))
        self._rejects_aside.rename(segment_path(self._folder, segment.number, "rejects.jsonl"))
        self._sightings.write(self._folder, segment.number)
        seal_segment(self._folder, segment)

    def add(self, batch: Batch) -> None:
        """Decide some records, in their order."""
        while batch.raws:
            room = self._plan.chunk_size - self._chunk.records
            if not room or self._columns.is_full:
                self._end_chunk(batch.offsets[0])
                room = self._plan.chunk_size
            self._add_to_chunk(batch.cut(0, room))
            batch = batch.cut(room)

    def finish(self) -> None:
        """Write the last chunk, after the last record."""
        self._end_chunk(self.segment.start + self.progress.bytes_read)

    def _add_to_chunk(self, batch: Batch) -> None:
        chunk = self._chunk
        if not chunk.records:
            chunk.first_line, chunk.first_byte = batch.numbers[0], batch.offsets[0]
        chunk.last_line = batch.numbers[-1]
        chunk.records += len(batch.raws)
        self.records += len(batch.raws)
        if isinstance(self._columns, KernelColumns) and self._plain and not batch.fault:
            batch = self._columns.read(batch)
        if batch.raws:
            self._add_decoded(batch.listed())

    def _add_decoded(self, batch: Batch) -> None:
        chunk = self._chunk
        outcomes: list[Event | Skipped | RecordError] = (
            [batch.fault] if batch.fault else decode_batch(self._format, batch.raws, self._context)
        )
        events = [outcome for outcome in outcomes if isinstance(outcome, Event)]
        numbers, offsets = batch.numbers, batch.offsets
        if len(events) < len(outcomes):
            taken = [index for index, outcome in enumerate(outcomes) if isinstance(outcome, Event)]
            numbers, offsets = [numbers[index] for index in taken], [offsets[index] for index in taken]
            self._set_aside(outcomes, batch)
        self.segment.naive_times += sum([event.is_naive for event in events])
        if self._has_window:
            inside = [index for index, e in enumerate(events) if self._window.contains(e.occurred_at)]
            chunk.out_of_window += len(events) - len(inside)
            events = [events[index] for index in inside]
            numbers, offsets = [numbers[index] for index in inside], [offsets[index] for index in inside]
        self._derived.add(events, numbers, offsets)
        if not self._plan.options.get("import_events", True):
            chunk.skipped += len(events)
            self._skips[_NOT_IMPORTED] = self._skips.get(_NOT_IMPORTED, 0) + len(events)
            return
        self._columns.extend(events, numbers, offsets)
        self._objects.add(events, numbers)
        self._sightings.extend(events, numbers)

    def _set_aside(self, outcomes: list[Event | Skipped | RecordError], batch: Batch) -> None:
        for outcome, number, offset, raw in zip(outcomes, batch.numbers, batch.offsets, batch.raws, strict=True):
            if isinstance(outcome, Skipped):
                self._chunk.skipped += 1
                self._skips[outcome.reason] = self._skips.get(outcome.reason, 0) + 1
            elif isinstance(outcome, RecordError):
                self._reject(outcome, number, offset, raw)

    def _reject(self, fault: RecordError, number: int, offset: int, raw: bytes) -> None:
        self._chunk.rejected += 1
        self._rejects[fault.code] = self._rejects.get(fault.code, 0) + 1
        shown = show_raw(raw, self._format.redact)
        sentence = self._format.redact(fault.sentence)
        reject = Reject(self.segment.part, number, offset, fault.code, sentence, shown)
        self._rejects_file.write(msgspec.json.encode(reject) + b"\n")

    def _begin_chunk(self) -> None:
        self._chunk = StagedChunk()
        self._columns.clear()

    def _end_chunk(self, end: int) -> None:
        chunk = self._chunk
        if not chunk.records:
            return
        chunk.last_byte = end
        if isinstance(self._columns, KernelColumns):
            chunk.out_of_window += self._columns.outside
            self.segment.naive_times += self._columns.naive
        chunk.staged = len(self._columns)
        if chunk.staged:
            table = self._columns.to_table()
            chunk.row_group = self._writer.write(table)
            first, last = self._columns.time_range()
            chunk.first_at, chunk.last_at = from_microseconds(first), from_microseconds(last)
            self._months.update(count_months(table))
            self.segment.sanitised += self._columns.sanitised
        self._derived.end_chunk(chunk)
        self.segment.chunks.append(chunk)
        self._begin_chunk()


@contextmanager
def fewer_collections() -> Iterator[None]:
    """Let a batch of decoded records pass without garbage collections, which would find nothing to free."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*before)
