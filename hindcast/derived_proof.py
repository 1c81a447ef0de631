"""Derived events, proved: each key of the export has its one event in the table, and the run's own are whole."""

from collections import Counter
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import psycopg

from hindcast.archived_ids import ArchivedIds
from hindcast.known import fetch_by_own_id
from hindcast.staged_rows import StagedRows

_REMEMBERED: Final = "SELECT event_id, created_at FROM derived_keys WHERE derived_key = ANY(%s::uuid[])"


@dataclass(frozen=True)
class LoadedChunk:
    """What the ledger says of a chunk: its id, and how many derived events it wrote."""

    chunk_id: int
    derived: int


@dataclass
class DerivedProof:
    """Derived events of a chunk as found in the table.

    `expected` keys are those of events made once; of them `absent` have none, `repeated` more than one. `unfound` are
    events of the chunk's own that are gone or say something else. What was rolled back since is none of these.
    """

    expected: int = 0
    absent: int = 0
    repeated: int = 0
    unfound: int = 0


def prove_derived(
    connection: psycopg.Connection, chosen: StagedRows, loaded: LoadedChunk, archived: ArchivedIds
) -> DerivedProof:
    """Look a chunk's chosen candidates up in the table. Reads only."""
    proof = DerivedProof()
    if not len(chosen):
        return proof
    found = fetch_by_own_id(connection, chosen)
    count = Counter(row.values["source_event_id"] for row in found)
    own = {row.event_id.bytes: row.content_hash for row in found if row.import_chunk_id == loaded.chunk_id}
    names = chosen.table["source_event_id"].to_pylist()
    is_once = [state is None for state in chosen.table["state"].to_pylist()]
    proof.expected = sum(is_once)
    proof.repeated = sum(count[name] > 1 for name, once in zip(names, is_once, strict=True) if once)
    gone = [index for index, name in enumerate(names) if not count[name]]
    rolled_back = archived.among(chosen.take(gone)) if gone else set()
    is_changed = [once and own.get(i, h) != h for i, h, once in zip(chosen.ids, chosen.hashes, is_once, strict=True)]
    proof.unfound = max(loaded.derived - len(own) - len(rolled_back), 0) + sum(is_changed)
    gone = [index for index in gone if is_once[index] and chosen.ids[index] not in rolled_back]
    proof.absent = len(gone) - _count_forgotten(connection, chosen.take(gone), archived) if gone else 0
    return proof


def _count_forgotten(connection: psycopg.Connection, absent: StagedRows, archived: ArchivedIds) -> int:
    """How many of these keys had their event from another run, and it was rolled back."""
    keys = [UUID(bytes=key) for key in absent.table["key"].to_pylist()]
    return sum(archived.holds(event_id.bytes, at) for event_id, at in connection.execute(_REMEMBERED, (keys,)))
