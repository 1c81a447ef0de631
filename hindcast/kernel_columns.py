"""The events of a chunk as columns, made by the compiled kernel: as `EventColumns` does, in a fraction of the time."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from hindcast.canonical import encode_value
from hindcast.event import Event
from hindcast.event_columns import FULL_BYTES
from hindcast.formats.base import Context, PlainNames
from hindcast.kernel import _kernel
from hindcast.kernel_rows import TEXTS
from hindcast.records import Batch
from hindcast.staging import SCHEMA
from hindcast.times import to_microseconds
from hindcast.window import Window

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
        self._plain = _make_builder(source, rules)
        self._decoded = _make_builder(source, rules)

    def __len__(self) -> int:
        return self._plain.count + self._decoded.count

    @property
    def is_full(self) -> bool:
        """Whether a chunk should have no more rows, whatever its limit: so long is a column."""
        return self._plain.size + self._decoded.size >= FULL_BYTES

    @property
    def sanitised(self) -> int:
        """How many of the events were sanitised."""
        return self._plain.sanitised + self._decoded.sanitised

    @property
    def outside(self) -> int:
        """How many records that `read` took lie outside the window."""
        return self._plain.outside

    @property
    def naive(self) -> int:
        """How many records that `read` took have a time without a zone."""
        return self._plain.naive

    def read(self, batch: Batch) -> Batch:
        """Add the plain records of a batch; returns the others."""
        raws = batch.raws if isinstance(batch.raws, list | _kernel.Lines) else list(batch.raws)
        left = self._plain.read(raws, batch.numbers, batch.offsets)
        return Batch([batch.numbers[n] for n in left], [batch.offsets[n] for n in left], [raws[n] for n in left])

    def extend(self, events: Sequence[Event], numbers: Sequence[int], offsets: Sequence[int]) -> None:
        """Add events with the lines and byte offsets of their records."""
        add = self._decoded.add
        for event, number, offset in zip(events, numbers, offsets, strict=True):
            add(event, to_microseconds(event.occurred_at), encode_value(event.payload), number, offset)

    def time_range(self) -> tuple[int, int]:
        """The first and the last time, in microseconds since 1970."""
        builders = [builder for builder in (self._plain, self._decoded) if builder.count]
        return min(builder.first for builder in builders), max(builder.last for builder in builders)

    def to_table(self) -> pa.Table:
        """The events as a table of the staging schema, in the order of their records."""
        buffers, count = self._plain.columns(self._decoded), len(self)
        return pa.table([_to_array(buffers[field.name], field.type, count) for field in SCHEMA], schema=SCHEMA)

    def clear(self) -> None:
        """Begin another chunk, in the same memory."""
        self._plain.clear()
        self._decoded.clear()


def _make_builder(source: str, rules: PlainRules) -> _kernel.Builder:
    names, window = rules.names, rules.window
    return _kernel.Builder(
        source,
        rules.context.tenant,
        _place_names(names) if names else {},
        0,
        to_microseconds(rules.context.latest),
        to_microseconds(window.start) if window.start else _EARLIEST,
        to_microseconds(window.end) if window.end else _LATEST,
        bool(names and rules.context.options.get(names.scrub_option, True)),
    )


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
