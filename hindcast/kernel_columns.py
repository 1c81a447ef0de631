"""The events of a chunk as columns, made by the compiled kernel: as `EventColumns` does, in a fraction of the time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa

from hindcast.canonical import encode_value
from hindcast.event import Event
from hindcast.formats.base import Context, PlainNames
from hindcast.kernel import _kernel
from hindcast.kernel_rows import TEXTS
from hindcast.records import Batch
from hindcast.staging import SCHEMA
from hindcast.times import to_microseconds
from hindcast.window import Window

_FULL: Final = 1 << 30  # bytes of a column: Arrow's end at twice as many
_TIME, _PAYLOAD = -1, -2
_EARLIEST, _LATEST = -(1 << 63), (1 << 63) - 1


@dataclass(frozen=True)
class PlainRules:
    """What makes a record plain, and which of the plain ones are wanted."""

    context: Context
    names: PlainNames | None = None
    window: Window = field(default_factory=Window)


class KernelColumns:
    """Collects events and, of formats with `PLAIN` names, reads records by itself."""

    def __init__(self, source: str, rules: PlainRules) -> None:
        self._source, self._rules = source, rules
        self._full: list[pa.Table] = []  # made whenever the builder was full
        self._ranges: list[tuple[int, int]] = []
        self._before = self._sanitised_before = self._outside_before = self._naive_before = 0
        self._begin()

    def __len__(self) -> int:
        return self._before + self._builder.count

    @property
    def sanitised(self) -> int:
        """How many of the events were sanitised."""
        return self._sanitised_before + self._builder.sanitised

    @property
    def outside(self) -> int:
        """How many records that `read` took lie outside the window."""
        return self._outside_before + self._builder.outside

    @property
    def naive(self) -> int:
        """How many records that `read` took have a time without a zone."""
        return self._naive_before + self._builder.naive

    def read(self, batch: Batch, at: int) -> int:
        """Add the plain records from place `at` on; returns the place of the first that is not plain."""
        raws = batch.raws if isinstance(batch.raws, list) else list(batch.raws)
        while True:
            at = self._builder.read(raws, batch.numbers, batch.offsets, at)
            if at == len(raws) or not self._cut_when_full():
                return at

    def extend(self, events: Sequence[Event], numbers: Sequence[int], offsets: Sequence[int]) -> None:
        """Add events with the lines and byte offsets of their records."""
        for event, number, offset in zip(events, numbers, offsets, strict=True):
            self._builder.add(event, to_microseconds(event.occurred_at), encode_value(event.payload), number, offset)
            self._cut_when_full()

    def time_range(self) -> tuple[int, int]:
        """The first and the last time, in microseconds since 1970."""
        ranges = [*self._ranges, (self._builder.first, self._builder.last)] if self._builder.count else self._ranges
        return min(first for first, _ in ranges), max(last for _, last in ranges)

    def to_table(self) -> pa.Table:
        """The events as a table of the staging schema, in the order they were added."""
        return pa.concat_tables([*self._full, self._make_table()]) if self._full else self._make_table()

    def _begin(self) -> None:
        rules = self._rules
        names = rules.names
        self._builder = _kernel.Builder(
            self._source,
            rules.context.tenant,
            _place_names(names) if names else {},
            0,
            to_microseconds(rules.context.latest),
            to_microseconds(rules.window.start) if rules.window.start else _EARLIEST,
            to_microseconds(rules.window.end) if rules.window.end else _LATEST,
            refuses_personal=bool(names and rules.context.options.get(names.scrub_option, True)),
            limit=_FULL,
        )

    def _cut_when_full(self) -> bool:
        if not self._builder.is_full:
            return False
        self._full.append(self._make_table())
        self._ranges.append((self._builder.first, self._builder.last))
        self._before, self._sanitised_before = len(self), self.sanitised
        self._outside_before, self._naive_before = self.outside, self.naive
        self._begin()
        return True

    def _make_table(self) -> pa.Table:
        buffers, count = self._builder.columns(), self._builder.count
        return pa.table([_to_array(buffers[field.name], field.type, count) for field in SCHEMA], schema=SCHEMA)


def _place_names(names: PlainNames) -> dict[str, int]:
    places = dict.fromkeys(names.time, _TIME) | dict.fromkeys(names.payload, _PAYLOAD)
    for column, spellings in names.texts.items():
        places |= dict.fromkeys(spellings, TEXTS.index(column))
    return places


def _to_array(buffers: bytes | tuple[bytes, bytes, bytes, int], kind: pa.DataType, count: int) -> pa.Array:
    if isinstance(buffers, tuple):
        ends, data, validity, nulls = buffers
        known = pa.py_buffer(validity) if nulls else None
        return pa.Array.from_buffers(kind, count, [known, pa.py_buffer(ends), pa.py_buffer(data)], nulls)
    if pa.types.is_boolean(kind):
        return pa.array(np.frombuffer(buffers, np.bool_))
    return pa.Array.from_buffers(kind, count, [None, pa.py_buffer(buffers)])
