"""Putting a chunk's objects before its rows: claim all, put them, commit each with its row.

A killed loader leaves claims that the next attempt takes up again, or a sweep removes with their objects.
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from uuid import UUID

import psycopg

from hindcast.conflicts import Conflict
from hindcast.errors import ObjectConflict
from hindcast.event import format_id
from hindcast.llm_staging import StagedObject, open_bodies, read_staged_objects
from hindcast.manifest import Chunk
from hindcast.objects.content import Content, file_piece
from hindcast.objects.ledger import Claim, Owner, Wanted, claim_objects, commit_objects, release, withdraw
from hindcast.objects.multipart import describe_object
from hindcast.objects.store import REQUESTS_AT_ONCE, ObjectStore, open_store
from hindcast.settings import load_settings
from hindcast.staged_rows import StagedRows


class ObjectsSwept(Exception):
    """A sweep took objects between their upload and their rows: put them again."""


@dataclass
class PutObjects:
    """What was put for a chunk: claims by the lines of their records, and records whose key holds other bytes."""

    claims: dict[int, Claim] = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)
    store: ObjectStore | None = None

    def commit(self, connection: psycopg.Connection, lines: Iterable[int]) -> None:
        """Commit the objects of these lines, in the transaction that has their rows; raises ObjectsSwept."""
        if not commit_objects(connection, [self.claims[line] for line in lines if line in self.claims]):
            raise ObjectsSwept

    def withdraw_others(self, connection: psycopg.Connection, lines: set[int]) -> None:
        """Take back what was put for records whose rows were not written."""
        for line, claim in self.claims.items():
            if line not in lines and not claim.is_committed and self.store:
                withdraw(connection, self.store, claim)


def put_objects(
    connection: psycopg.Connection,
    folder: Path,
    chunk: Chunk,
    staged: StagedRows,
    objects: Mapping[int, StagedObject],
    run_id: UUID,
) -> PutObjects:
    """Put the objects that `objects_of` found; one that is there with the same bytes is left alone.

    Safe to repeat. Raises StoreUnavailable and ObjectError: nothing is committed then.
    """
    put = PutObjects(store=open_store(load_settings()))
    assert put.store
    wanted = [
        Wanted(found.key, Owner(found.team, UUID(found.event_uuid), run_id, chunk.number), found.sha256, found.size)
        for found in objects.values()
    ]
    with connection.transaction():
        claims = claim_objects(connection, put.store.bucket, wanted)
    for line, claim in zip(objects, claims, strict=True):
        if isinstance(claim, ObjectConflict):
            put.conflicts.append(_describe(chunk, staged, line, objects[line], claim))
        else:
            put.claims[line] = claim
    waiting = [line for line, claim in put.claims.items() if not claim.is_committed]
    with open_bodies(folder, chunk.segment) as bodies, ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        store = put.store
        results = list(pool.map(lambda line: _put(store, bodies, objects[line]), waiting))
    for line, refusal in zip(waiting, results, strict=True):
        if refusal:
            release(connection, put.claims.pop(line))
            put.conflicts.append(_describe(chunk, staged, line, objects[line], refusal))
    return put


def objects_of(folder: Path, chunk: Chunk, staged: StagedRows) -> dict[int, StagedObject]:
    """The objects of staged rows, by the lines of their records in the part."""
    objects = read_staged_objects(folder, chunk.segment)
    if not objects:
        return {}
    lines = staged.table["line"].to_pylist()
    return {line: objects[line - chunk.line_base] for line in lines if line - chunk.line_base in objects}


def _put(store: ObjectStore, bodies: IO[bytes], found: StagedObject) -> ObjectConflict | None:
    content = Content([file_piece(bodies, found.offset, found.size)])  # type: ignore[arg-type]  # a raw file
    about = describe_object(found.team, found.event_uuid, found.content_type, len(found.ranges))
    try:
        store.put(found.key, content, found.content_type, about)
    except ObjectConflict as conflict:
        return conflict
    return None


def _describe(chunk: Chunk, staged: StagedRows, line: int, found: StagedObject, conflict: ObjectConflict) -> Conflict:
    row = staged.table["line"].to_pylist().index(line)
    return Conflict(
        chunk=chunk.number,
        row=row,
        event_id=format_id(staged.ids[row]),
        part=chunk.part,
        line=line,
        fields={"(object)": [str(conflict), f"sha256 {found.sha256}"]},
        against=f"the object {found.key}",
    )
