"""Objects of archived rows: copied into the archive before the rows go, removed after them, put back before them.

`objects-0001.bin` and so on hold the bytes one after the other; `objects.jsonl`, written after them and before the
archive's seal, says what is where. An object goes only when it is archived and no row of the table has its event.
"""

import hashlib
from collections.abc import Iterator
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, Final
from uuid import UUID

import msgspec
import psycopg
from psycopg import sql

from hindcast.archive_store import join_location, keep_bytes, keep_file, local_copy, read_bytes
from hindcast.errors import ArchiveError, ConfigurationError
from hindcast.llm_events import SOURCE
from hindcast.objects.content import Content, file_piece
from hindcast.objects.ledger import Owner, claim_object, commit_object
from hindcast.objects.store import ObjectStore, open_store
from hindcast.selection import Selection
from hindcast.settings import Settings

INDEX: Final = "objects.jsonl"
FILE_BYTES: Final = 256 * 1024 * 1024
_SELECT: Final = sql.SQL(
    "SELECT DISTINCT o.key, o.bucket, o.team, o.event_uuid::text, o.run_id::text, o.chunk_number, o.sha256"
    " FROM llm_objects AS o INNER JOIN analytics_events AS e"
    " ON e.source = {source} AND e.tenant = o.team AND e.source_event_id = o.event_uuid::text"
    " WHERE o.state = 'committed' AND {selected} ORDER BY o.key"
)
_TAKE: Final = (
    "SELECT FROM llm_objects AS o WHERE bucket = %s AND key = %s AND sha256 = %s AND state = 'committed'"
    " AND NOT EXISTS (SELECT FROM analytics_events AS e"
    " WHERE e.source = %s AND e.tenant = o.team AND e.source_event_id = o.event_uuid::text) FOR UPDATE"
)


class ArchivedObject(msgspec.Struct, frozen=True):
    """An object as it was: its bytes are `size` from `offset` of `file`, whose SHA-256 is `file_sha256`."""

    key: str
    bucket: str
    team: str
    event_uuid: str
    run_id: str | None
    chunk_number: int | None
    sha256: str
    content_type: str
    metadata: dict[str, str]
    file: str
    offset: int
    size: int
    file_sha256: str = ""


def archive_objects(
    connection: psycopg.Connection, folder: str, selection: Selection, scratch: Path, settings: Settings
) -> int:
    """Copy the objects of the selected rows into an archive's folder; returns how many. Raises ArchiveError."""
    if not connection.execute("SELECT FROM llm_objects LIMIT 1").rowcount:
        return 0
    query = _SELECT.format(source=sql.Literal(SOURCE), selected=selection.condition("e"))
    rows = connection.execute(query).fetchall()
    if not rows:
        return 0
    store = _open_store(settings, rows[0][1])
    writer = _Writer(folder, scratch)
    with closing(writer):
        for row in rows:
            writer.add(store, *row)
        writer.keep()
    keep_bytes(INDEX, b"".join(msgspec.json.encode(found) + b"\n" for found in writer.archived), folder)
    return len(writer.archived)


def verify_objects(folder: str, scratch: Path) -> int:
    """Read every archived object again; returns how many. Raises ArchiveError when one is not what it was."""
    verified = 0
    for found, content in _read(folder, scratch):
        if content.sha256 != found.sha256:
            raise ArchiveError(f"{join_location(folder, found.file)}: object {found.key} is not what it was")
        verified += 1
    return verified


def remove_objects(connection: psycopg.Connection, folder: str, settings: Settings) -> int:
    """Remove the archived objects whose events are gone, one transaction each; returns how many. Safe to repeat."""
    removed = 0
    index = _read_index(folder)
    for found in index:
        store = _open_store(settings, found.bucket)
        with connection.transaction():
            place = (found.bucket, found.key)
            # Locked: whoever loads the event again meanwhile finds no committed object, and puts it again.
            if connection.execute(_TAKE, (*place, found.sha256, SOURCE)).rowcount:
                store.delete(found.key)
                connection.execute("DELETE FROM llm_objects WHERE bucket = %s AND key = %s", place)
                removed += 1
    return removed


def restore_objects(connection: psycopg.Connection, folder: str, scratch: Path, settings: Settings) -> int:
    """Put archived objects back, before their rows; returns how many were missing. Safe to repeat.

    Raises ObjectConflict when a key holds other bytes by now.
    """
    restored = 0
    for found, content in _read(folder, scratch):
        store = _open_store(settings, found.bucket)
        run_id = UUID(found.run_id) if found.run_id else None
        owner = Owner(found.team, UUID(found.event_uuid), run_id, found.chunk_number)
        with connection.transaction():
            claim = claim_object(connection, found.bucket, found.key, owner, found.sha256, found.size)
        restored += store.put(found.key, content, found.content_type, found.metadata)
        if not commit_object(connection, claim):
            raise ArchiveError(f"object {found.key}: was swept while it was put back; restore again")
    return restored


class _Writer:
    def __init__(self, folder: str, scratch: Path) -> None:
        self._folder, self._scratch = folder, scratch
        self._files = 0
        self._file: BinaryIO | None = None
        self._waiting: list[ArchivedObject] = []
        self.archived: list[ArchivedObject] = []

    def add(
        self, store: ObjectStore, key: str, bucket: str, team: str, own_id: str, run_id: str | None,
        chunk: int | None, sha256: str,
    ) -> None:  # fmt: skip
        if self._file is None:
            self._files += 1
            self._file = (self._scratch / self._name).open("wb")
        offset, digest = self._file.tell(), hashlib.sha256()
        try:
            head = store.head(key)
            for block in store.stream(key):
                digest.update(block)
                self._file.write(block)
        except FileNotFoundError:
            raise ArchiveError(f"object {key}: is gone from the store, its row is not; nothing was deleted") from None
        if digest.hexdigest() != sha256:
            raise ArchiveError(f"object {key}: its bytes are not those that were put; nothing was deleted")
        about = {name: value for name, value in head.metadata.items() if name != "sha256"}
        size = self._file.tell() - offset
        self._waiting.append(
            ArchivedObject(
                key, bucket, team, own_id, run_id, chunk, sha256, head.content_type, about, self._name, offset, size
            )
        )
        if self._file.tell() > FILE_BYTES:
            self.keep()

    def close(self) -> None:
        if self._file:
            self._file.close()

    def keep(self) -> None:
        if self._file is None:
            return
        self._file.close()
        self._file = None
        path = self._scratch / self._name
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        keep_file(path, self._folder)
        self.archived += [msgspec.structs.replace(found, file_sha256=digest) for found in self._waiting]
        self._waiting = []

    @property
    def _name(self) -> str:
        return f"objects-{self._files:04}.bin"


def _read(folder: str, scratch: Path) -> Iterator[tuple[ArchivedObject, Content]]:
    for (name, digest), group in groupby(_read_index(folder), key=lambda found: (found.file, found.file_sha256)):
        with local_copy(name, folder, digest, scratch) as path, path.open("rb") as file:
            for found in group:
                yield found, Content([file_piece(file, found.offset, found.size)])


def _read_index(folder: str) -> list[ArchivedObject]:
    """The objects of an archive; none when there is no index, as of rows without objects."""
    try:
        data = read_bytes(INDEX, folder)
    except ArchiveError:
        return []
    return msgspec.json.Decoder(ArchivedObject).decode_lines(data)


def _open_store(settings: Settings, bucket: str) -> ObjectStore:
    store = open_store(settings)
    if store.bucket != bucket:
        raise ConfigurationError(
            f"LLMA_S3_BUCKET: the rows' objects are in bucket {bucket}, the setting says {store.bucket}"
        )
    return store
