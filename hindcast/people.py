"""Who an event is about, for formats whose records name people by several identifiers.

An export's persons are settled when its manifest is sealed, over all of its events at once, so that no order of
loading can change them: `people.parquet` lists each person's identifiers, and the id it gets if it has none yet.
What is remembered between runs is in hindcast/people_links.py; the reasons are in docs/decisions/0012-people.md.
"""

import hashlib
import hmac
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hindcast.canonical import encode_value
from hindcast.errors import ExportError
from hindcast.event import Event
from hindcast.formats import find_format
from hindcast.settings import load_settings
from hindcast.staged_files import fetch_staged, keep_staged
from hindcast.staging import segment_path
from hindcast.times import to_microseconds

# Two identifiers in one record are of one person, but not when one is as weak as a network and a browser.
WEAKEST_LINK: Final = 0.85

_SEEN: Final = pa.schema(
    [
        ("sighting", pa.int32()),
        ("microseconds", pa.int64()),
        ("line", pa.int64()),
        ("tenant", pa.string()),
        ("kind", pa.string()),
        ("key", pa.binary(16)),
    ]
)
_PEOPLE: Final = pa.schema(
    [
        ("person", pa.int32()),
        ("tenant", pa.string()),
        ("kind", pa.string()),
        ("key", pa.binary(16)),
        ("first_seen", pa.int64()),
        ("new_id", pa.string()),
    ]
)


def list_kinds(source: str) -> dict[str, float]:
    """Kinds of identifiers of a format, in the order of looking up, with their confidence; empty for most formats."""
    kinds: dict[str, float] = getattr(find_format(source), "IDENTIFIERS", {})
    return kinds


@lru_cache(maxsize=1 << 16)
def make_key(tenant: str, kind: str, value: str) -> bytes:
    """The 16 bytes an identifier is remembered by."""
    return hashlib.sha256(encode_value((tenant, kind, value))).digest()[:16]


class Sightings:
    """Collects the distinct sets of identifiers of a segment's events, each with its first time and line."""

    def __init__(self, source: str) -> None:
        self._identifiers: Any = getattr(find_format(source), "identifiers", None)
        self._seen: dict[tuple[Any, ...], tuple[int, int]] = {}

    def extend(self, events: Sequence[Event], lines: Sequence[int]) -> None:
        """Add events with the lines of their records."""
        if self._identifiers is None:
            return
        for event, line in zip(events, lines, strict=True):
            seen = (event.tenant, *self._identifiers(event).items())
            place = (to_microseconds(event.occurred_at), line)
            if seen not in self._seen or place < self._seen[seen]:
                self._seen[seen] = place

    def write(self, folder: Path, segment: int) -> None:
        """Write them beside the segment's events; nothing for a format without identifiers."""
        if self._identifiers is None:
            return
        rows = [
            (number, *place, tenant, kind, make_key(tenant, kind, value))
            for number, ((tenant, *found), place) in enumerate(self._seen.items())
            for kind, value in found
        ]
        _write(rows, _SEEN, segment_path(folder, segment, "people.parquet"))


def settle_people(source: str, folder: Path, segments: Sequence[int]) -> None:
    """Write the persons of an export, from the sightings of its segments; the same segments give the same persons.

    Identifiers seen together are of one person. A weak one (WEAKEST_LINK) joins nobody: it belongs to whoever was
    first seen with it. Does nothing for a format without identifiers.
    """
    kinds = list_kinds(source)
    if not kinds:
        return
    earliest: dict[tuple[str, tuple[tuple[str, bytes], ...]], tuple[int, int, int]] = {}
    for seen in _read_sightings(folder, segments):  # one segment at a time: most sets are seen in many
        who, place = (seen.tenant, seen.found), (seen.microseconds, seen.segment, seen.line)
        earliest[who] = min(place, earliest.get(who, place))
    settling = _Settling(list(kinds.items()))
    for sighting in sorted(_Sighting(*place, *who) for who, place in earliest.items()):
        settling.add(sighting)
    secret = load_settings().pii_secret
    key = secret.get_secret_value().encode() if secret else b""
    _write(settling.rows(key), _PEOPLE, folder / "people.parquet")
    keep_staged(folder / "people.parquet")


@dataclass(frozen=True, order=True)
class _Sighting:
    microseconds: int
    segment: int  # parts are staged in their order, and so are their segments
    line: int
    tenant: str
    found: tuple[tuple[str, bytes], ...]


class _Settling:
    """Joins the identifiers of sightings, given in order of time, part and line."""

    def __init__(self, kinds: list[tuple[str, float]]) -> None:
        self._names = [name for name, _ in kinds]
        self._rank = {name: rank for rank, name in enumerate(self._names)}
        self._is_weak = [confidence < WEAKEST_LINK for _, confidence in kinds]
        self._place: dict[bytes, int] = {}
        self._kind: list[int] = []
        self._tenant: list[str] = []
        self._first_seen: list[int] = []
        self._parent: list[int] = []
        self._owner: dict[int, int] = {}  # weak identifier -> the strong one it was first seen with

    def add(self, sighting: _Sighting) -> None:
        places = [self._find(sighting, kind, key) for kind, key in sighting.found]
        strong = [place for place in places if not self._is_weak[self._kind[place]]]
        for place in strong[1:]:
            self._join(strong[0], place)
        for place in places:
            if strong and self._is_weak[self._kind[place]]:
                self._owner.setdefault(place, strong[0])

    def rows(self, secret: bytes) -> Iterator[tuple[Any, ...]]:
        """Rows of `people.parquet`: persons by first sight, their identifiers in the order of looking up."""
        members: dict[int, list[int]] = {}
        for place in range(len(self._parent)):
            members.setdefault(self._root(self._owner.get(place, place)), []).append(place)
        keys = list(self._place)
        for person, places in enumerate(members.values()):
            # Places are in order of first sight; the first sighting of all has the earliest of its best kind first.
            earliest = min(places, key=lambda place: (self._is_weak[self._kind[place]], place))
            new_id = _make_universal_id(secret, keys[earliest])
            for place in sorted(places, key=lambda place: (self._kind[place], place)):
                kind = self._names[self._kind[place]]
                yield person, self._tenant[place], kind, keys[place], self._first_seen[place], new_id

    def _find(self, sighting: _Sighting, kind: str, key: bytes) -> int:
        place = self._place.setdefault(key, len(self._parent))
        if place == len(self._parent):
            self._parent.append(place)
            self._kind.append(self._rank[kind])
            self._tenant.append(sighting.tenant)
            self._first_seen.append(sighting.microseconds)
        return place

    def _root(self, place: int) -> int:
        parent = self._parent
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    def _join(self, one: int, other: int) -> None:
        first, second = sorted((self._root(one), self._root(other)))
        self._parent[second] = first


@dataclass(frozen=True)
class People:
    """The persons of an export, as settled. Identifiers of one person are neighbours, in the order of looking up."""

    keys: npt.NDArray[np.uint8]
    kinds: list[str]
    tenants: list[str]
    first_seen: npt.NDArray[np.int64]
    new_ids: pa.ChunkedArray
    starts: npt.NDArray[np.int64]  # of each person, and the end
    person: npt.NDArray[np.int32]
    order: npt.NDArray[np.int64]  # of the keys
    sorted_words: npt.NDArray[np.uint64]  # first 8 bytes of the keys, in that order

    def persons_of(self, keys: set[bytes]) -> list[int]:
        """The persons of these identifiers; raises ExportError for an identifier that was never seen."""
        wanted = sorted(keys)
        words = np.frombuffer(b"".join(key[:8] for key in wanted), ">u8").astype(np.uint64)
        found: set[int] = set()
        for key, at in zip(wanted, np.searchsorted(self.sorted_words, words).tolist(), strict=True):
            place = at
            while place < len(self.order) and self.keys[self.order[place]].tobytes() != key:
                place += 1  # two identifiers with the same 8 bytes; else at most one step
                if place - at > _MOST_COLLISIONS:
                    place = len(self.order)
            if place >= len(self.order):
                raise ExportError("people.parquet: lacks an identifier of a staged event; delete the folder, run again")
            found.add(int(self.person[self.order[place]]))
        return sorted(found)


_MOST_COLLISIONS: Final = 8


def load_people(folder: Path) -> People:
    """Read the persons of a sealed export; raises ExportError when they are missing."""
    path = fetch_staged(folder / "people.parquet")
    try:
        return _load_people(path, path.stat().st_mtime_ns)
    except FileNotFoundError:
        raise ExportError(f"{path.name}: the persons of the export are gone; run the backfill again") from None


@lru_cache(maxsize=2)
def _load_people(path: Path, changed_at_ns: int) -> People:
    table = pq.read_table(path, use_threads=False).combine_chunks()
    keys = np.frombuffer(b"".join(table["key"].to_pylist()), np.uint8).reshape(-1, 16)
    words = np.ascontiguousarray(keys[:, :8]).view(">u8")[:, 0].astype(np.uint64)
    order = np.argsort(words, kind="stable")
    person = table["person"].to_numpy()
    starts = np.append(np.flatnonzero(np.diff(person, prepend=-1)), len(person))
    return People(
        keys,
        table["kind"].to_pylist(),
        table["tenant"].to_pylist(),
        table["first_seen"].to_numpy(),
        table["new_id"],
        starts,
        person,
        order,
        words[order],
    )


def first_keys(tenants: Sequence[str], payloads: Sequence[str], kinds: Sequence[str]) -> list[bytes]:
    """The key of each staged event's own first identifier in the order of looking up."""
    keys = []
    for tenant, payload in zip(tenants, payloads, strict=True):
        found = _decode_identified(payload).identifiers
        kind = next(kind for kind in kinds if kind in found)
        keys.append(make_key(tenant, kind, found[kind]))
    return keys


class _IdentifiedPayload(msgspec.Struct):
    identifiers: dict[str, str]


_decode_identified = msgspec.json.Decoder(_IdentifiedPayload).decode


def _make_universal_id(secret: bytes, key: bytes) -> str:
    return "sf_" + hmac.new(secret, b"universal id " + key, hashlib.sha256).hexdigest()[:16]


def _read_sightings(folder: Path, segments: Sequence[int]) -> Iterator[_Sighting]:
    for segment in segments:
        path = segment_path(folder, segment, "people.parquet")
        if not path.exists():
            raise ExportError(f"{path.name}: the identifiers of staged events are gone; run the backfill again")
        columns = pq.read_table(path, use_threads=False).to_pydict().values()
        rows = zip(*columns, strict=True)
        found: dict[int, list[tuple[str, bytes]]] = {}
        places: dict[int, tuple[int, int, str]] = {}
        for number, microseconds, line, tenant, kind, key in rows:
            found.setdefault(number, []).append((kind, key))
            places[number] = (microseconds, line, tenant)
        for number, (microseconds, line, tenant) in places.items():
            yield _Sighting(microseconds, segment, line, tenant, tuple(found[number]))


def _write(rows: Any, schema: pa.Schema, path: Path) -> None:
    columns: list[Any] = list(zip(*rows, strict=True)) or [()] * len(schema)
    aside = path.with_name(f".{path.name}.{os.getpid()}.new")
    pq.write_table(pa.table([list(column) for column in columns], schema=schema), aside, compression="lz4")
    aside.rename(path)
