"""The events of a chunk as columns: identity and digests are derived for all of them at once.

What it gives is what `identify` gives event by event; a test compares the two.
"""

from collections.abc import Sequence
from hashlib import sha256
from itertools import repeat
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hindcast.canonical import encode_value
from hindcast.event import Event, derive_own_identity
from hindcast.staging import SCHEMA
from hindcast.times import to_microseconds

_FIELDS: Final = (
    "tenant", "event_type", "user_id", "anonymous_id", "session_id", "course_id", "lesson_id", "module_id",
    "user_agent", "source_event_id",
)  # fmt: skip
FULL_BYTES: Final = 1 << 30  # of a column of texts: Arrow's end at twice as many
_Bytes = npt.NDArray[np.uint8]


class EventColumns:
    """Collects events; payloads become canonical text at once, so that what was decoded can be freed."""

    def __init__(self, source: str) -> None:
        self._source = source
        self.clear()

    def clear(self) -> None:
        """Begin a chunk."""
        self._fields: dict[str, list[Any]] = {name: [] for name in _FIELDS}
        self._microseconds: list[int] = []
        self._payloads: list[bytes] = []
        self._payload_bytes = 0
        self._numbers: list[int] = []
        self._offsets: list[int] = []
        self._is_sanitised: list[bool] = []

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def is_full(self) -> bool:
        """Whether a chunk should have no more rows, whatever its limit: so long are its payloads."""
        return self._payload_bytes >= FULL_BYTES

    @property
    def sanitised(self) -> int:
        """How many of the events were sanitised."""
        return sum(self._is_sanitised)

    def extend(self, events: Sequence[Event], numbers: Sequence[int], offsets: Sequence[int]) -> None:
        """Add events with the lines and byte offsets of their records."""
        fields = self._fields
        fields["tenant"].extend([e.tenant for e in events])
        fields["event_type"].extend([e.event_type for e in events])
        fields["user_id"].extend([e.user_id for e in events])
        fields["anonymous_id"].extend([e.anonymous_id for e in events])
        fields["session_id"].extend([e.session_id for e in events])
        fields["course_id"].extend([e.course_id for e in events])
        fields["lesson_id"].extend([e.lesson_id for e in events])
        fields["module_id"].extend([e.module_id for e in events])
        fields["user_agent"].extend([e.user_agent for e in events])
        fields["source_event_id"].extend([e.source_event_id for e in events])
        self._microseconds.extend([to_microseconds(e.occurred_at) for e in events])
        payloads = [encode_value(e.payload) for e in events]
        self._payloads.extend(payloads)
        self._payload_bytes += sum(map(len, payloads))
        self._is_sanitised.extend([e.is_sanitised for e in events])
        self._numbers.extend(numbers)
        self._offsets.extend(offsets)

    def time_range(self) -> tuple[int, int]:
        """The first and the last time, in microseconds since 1970."""
        return min(self._microseconds), max(self._microseconds)

    def to_table(self) -> pa.Table:
        """The events as a table of the staging schema, in the order they were added."""
        event_ids, identities, hashes = self._identify()
        derived = {
            "event_id": _to_array(event_ids),
            "identity": _to_array(identities),
            "content_hash": _to_array(hashes),
            "created_at": pa.array(np.array(self._microseconds, np.int64)).cast(SCHEMA.field("created_at").type),
            "payload": pa.array(self._payloads, pa.binary()).cast(pa.string()),
            "line": self._numbers,
            "byte_offset": self._offsets,
            "is_sanitised": self._is_sanitised,
        }
        columns = self._fields | derived
        return pa.table([columns[field.name] for field in SCHEMA], schema=SCHEMA)

    def _identify(self) -> tuple[_Bytes, _Bytes, _Bytes]:
        """Event ids, identities and content hashes, 16 bytes a row."""
        tenants, *others = self._fields.values()
        texts = zip(self._microseconds, repeat(self._source), tenants, *others, map(msgspec.Raw, self._payloads))
        digests = _to_matrix([sha256(content).digest() for content in map(encode_value, texts)])
        seeds = digests.copy()
        own_ids = self._fields["source_event_id"]
        claimed = [row for row, own_id in enumerate(own_ids) if own_id is not None]
        claims = [
            derive_own_identity(self._microseconds[row], self._source, tenants[row], own_ids[row]) for row in claimed
        ]
        if claims:
            seeds[claimed] = _to_matrix([seed for seed, _ in claims])
        event_ids = _make_event_ids(np.array(self._microseconds, np.int64), seeds)
        identities = event_ids.copy()
        if claims:
            identities[claimed] = _to_matrix([identity for _, identity in claims])[:, :16]
        return event_ids, identities, digests[:, :16]


def _make_event_ids(microseconds: npt.NDArray[np.int64], seeds: _Bytes) -> _Bytes:
    """UUIDv8s of times and hashes of 32 bytes, as `identify` makes each."""
    words = np.ascontiguousarray(seeds[:, 16:26])
    high = words[:, :2].copy().view(">u2")[:, 0].astype(np.uint64)
    low = words[:, 2:].copy().view(">u8")[:, 0].astype(np.uint64)
    twelve = (high & np.uint64(0x3FF)) << np.uint64(2) | low >> np.uint64(62)
    ids = np.empty((len(seeds), 16), np.uint8)
    milliseconds = (microseconds // 1000).astype(">i8").view(np.uint8).reshape(-1, 8)
    ids[:, :6] = milliseconds[:, 2:]
    ids[:, 6:8] = (twelve | np.uint64(0x8000)).astype(">u2").view(np.uint8).reshape(-1, 2)
    ids[:, 8:] = (
        (low & np.uint64(0x3FFF_FFFF_FFFF_FFFF) | np.uint64(0x8000_0000_0000_0000)).astype(">u8").view(np.uint8)
    ).reshape(-1, 8)
    return ids


def _to_matrix(digests: list[bytes]) -> _Bytes:
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)


def _to_array(rows: _Bytes) -> pa.Array:
    return pa.Array.from_buffers(pa.binary(16), len(rows), [None, pa.py_buffer(np.ascontiguousarray(rows).tobytes())])
