"""Objects of archived rows: copied into the archive before the rows go, removed after them, put back before them.

`objects-0001.bin` and so on hold the bytes one after the other; `objects.jsonl`, written after them and before the
archive's seal, which covers it, says what is where. An object goes only when it is archived and no row of the table
has its event; one that is put back is pending until its row is there, so a sweep mends a restore that was killed.
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

from hindcast.archive import Description, ObjectIndex
from hindcast.archive_store import join_location, keep_bytes, keep_file, local_copy, read_bytes
from hindcast.errors import ArchiveError, ConfigurationError
from hindcast.llm_events import SOURCE
from hindcast.objects.content import Content, file_piece
from hindcast.objects.ledger import Owner, claim_object
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
# A statement of its own: what was committed while it waited is seen by the next one, not by itself.
_LOCK: Final = (
    "SELECT FROM llm_objects AS o INNER JOIN unnest(%s::text[], %s::text[], %s::text[]) AS a (bucket, key, sha256)"
    " ON (o.bucket, o.key, o.sha256) = (a.bucket, a.key, a.sha256)"
    ' ORDER BY o.key COLLATE "C" FOR UPDATE OF o'
)
_GIVE_UP: Final = (
    "UPDATE llm_objects AS o SET state = 'pending', committed_at = NULL, created_at = now(), claim = %s"
    " FROM unnest(%s::text[], %s::text[], %s::text[]) AS a (bucket, key, sha256)"
    " WHERE (o.bucket, o.key, o.sha256) = (a.bucket, a.key, a.sha256) AND o.state = 'committed'"
    " AND NOT EXISTS (SELECT FROM analytics_events AS e"
    " WHERE e.source = %s AND e.tenant = o.team AND e.source_event_id = o.event_uuid::text)"
)
_TAKE: Final = "SELECT FROM llm_objects WHERE bucket = %s AND key = %s AND state = 'pending' AND claim = %s FOR UPDATE"
_AT_ONCE: Final = 1_000
_PUT_BACK: Final = (
    "CREATE TEMP TABLE IF NOT EXISTS restoring_objects"
    " (bucket text, key text, sha256 text, team text, event_uuid text);"
    " TRUNCATE restoring_objects"
)
# As young as the last of them, or a sweep takes the first while the last are put back.
_TOUCH: Final = (
    "WITH touched AS (UPDATE llm_objects AS o SET created_at = now() FROM restoring_objects AS a"
    " WHERE (o.bucket, o.key, o.sha256) = (a.bucket, a.key, a.sha256) RETURNING o.key)"
    " SELECT key FROM restoring_objects EXCEPT SELECT key FROM touched"
)
_COMMIT: Final = sql.SQL(
    "WITH wanted AS (SELECT DISTINCT a.bucket, a.key, a.sha256 FROM restoring_objects AS a"
    " INNER JOIN restoring AS r ON r.source = {source} AND r.tenant = a.team AND r.source_event_id = a.event_uuid),"
    " done AS (UPDATE llm_objects AS o SET state = 'committed', committed_at = coalesce(committed_at, now())"
    " FROM wanted AS w WHERE (o.bucket, o.key, o.sha256) = (w.bucket, w.key, w.sha256) RETURNING o.key)"
    " SELECT key FROM wanted EXCEPT SELECT key FROM done LIMIT 1"
).format(source=sql.Literal(SOURCE))
_ATTEMPTS: Final = 3


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
) -> ObjectIndex | msgspec.UnsetType:
    """Copy the objects of the selected rows into an archive's folder. Raises ArchiveError."""
    if not connection.execute("SELECT FROM llm_objects LIMIT 1").rowcount:
        return msgspec.UNSET
    query = _SELECT.format(source=sql.Literal(SOURCE), selected=selection.condition("e"))
    rows = connection.execute(query).fetchall()
    if not rows:
        return msgspec.UNSET
    store = _open_store(settings, rows[0][1])
    writer = _Writer(folder, scratch)
    with closing(writer):
        for row in rows:
            writer.add(store, *row)
        writer.keep()
    index = b"".join(msgspec.json.encode(found) + b"\n" for found in writer.archived)
    keep_bytes(INDEX, index, folder)
    return ObjectIndex(len(writer.archived), hashlib.sha256(index).hexdigest())


def verify_objects(description: Description, folder: str, scratch: Path) -> int:
    """Read every archived object again; returns how many. Raises ArchiveError when one is not what it was."""
    verified = 0
    for found, content in _read(read_index(description, folder), folder, scratch):
        if content.sha256 != found.sha256:
            raise ArchiveError(f"{join_location(folder, found.file)}: object {found.key} is not what it was")
        verified += 1
    return verified


def remove_objects(connection: psycopg.Connection, description: Description, folder: str, settings: Settings) -> int:
    """Remove the archived objects whose events are gone; returns how many. Safe to repeat.

    Each is pending, with the archive's claim, before it goes: after a kill nobody takes it for one that is there.
    """
    removed, claim = 0, UUID(description.archive_id)
    index = read_index(description, folder)
    for start in range(0, len(index), _AT_ONCE):
        listed = index[start : start + _AT_ONCE]
        places = ([o.bucket for o in listed], [o.key for o in listed], [o.sha256 for o in listed])
        with connection.transaction():
            connection.execute(_LOCK, places)
            connection.execute(_GIVE_UP, (claim, *places, SOURCE))
        for found in listed:
            store, place = _open_store(settings, found.bucket), (found.bucket, found.key)
            with connection.transaction():
                # Locked: whoever loads the event again meanwhile waits until the object is gone, and puts it again.
                if connection.execute(_TAKE, (*place, claim)).rowcount:
                    store.delete(found.key)
                    connection.execute("DELETE FROM llm_objects WHERE bucket = %s AND key = %s", place)
                    removed += 1
    return removed


def restore_objects(
    connection: psycopg.Connection, description: Description, folder: str, scratch: Path, settings: Settings
) -> int:
    """Put archived objects back, before their rows, each pending; returns how many were missing. Safe to repeat.

    Raises ObjectConflict when a key holds other bytes by now.
    """
    connection.execute(_PUT_BACK)
    index = waiting = read_index(description, folder)
    if not index:
        return 0
    with connection.cursor() as cursor, cursor.copy("COPY restoring_objects FROM STDIN") as copy:
        for found in index:
            copy.write_row((found.bucket, found.key, found.sha256, found.team, found.event_uuid))
    restored = 0
    for _ in range(_ATTEMPTS):
        restored += sum(
            _put_back(connection, found, content, settings) for found, content in _read(waiting, folder, scratch)
        )
        swept = {key for (key,) in connection.execute(_TOUCH)}
        waiting = [found for found in index if found.key in swept]
        if not waiting:
            return restored
    raise ArchiveError(f"object {waiting[0].key}: was swept while it was put back; restore again")


def commit_restored(connection: psycopg.Connection) -> None:
    """Commit the objects of the rows in `restoring`, in the transaction that puts those back.

    Raises ArchiveError when one was swept meanwhile.
    """
    lost = connection.execute(_COMMIT).fetchone()
    if lost:
        raise ArchiveError(f"object {lost[0]}: was swept before its row was put back; restore again")


def read_index(description: Description, folder: str) -> list[ArchivedObject]:
    """The objects of an archive, in the order of their bytes; raises ArchiveError when it is not what was sealed."""
    try:
        data = read_bytes(INDEX, folder)
    except ArchiveError:
        if description.objects:
            raise
        return []
    if description.objects and hashlib.sha256(data).hexdigest() != description.objects.sha256:
        raise ArchiveError(f"{join_location(folder, INDEX)}: changed since the archive was sealed")
    return msgspec.json.Decoder(ArchivedObject).decode_lines(data)


def _put_back(connection: psycopg.Connection, found: ArchivedObject, content: Content, settings: Settings) -> bool:
    store = _open_store(settings, found.bucket)
    run_id = UUID(found.run_id) if found.run_id else None
    owner = Owner(found.team, UUID(found.event_uuid), run_id, found.chunk_number)
    with connection.transaction():
        claim_object(connection, found.bucket, found.key, owner, found.sha256, found.size)
    return store.put(found.key, content, found.content_type, found.metadata)


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


def _read(index: list[ArchivedObject], folder: str, scratch: Path) -> Iterator[tuple[ArchivedObject, Content]]:
    for (name, digest), group in groupby(index, key=lambda found: (found.file, found.file_sha256)):
        with local_copy(name, folder, digest, scratch) as path, path.open("rb") as file:
            for found in group:
                yield found, Content([file_piece(file, found.offset, found.size)])


def _open_store(settings: Settings, bucket: str) -> ObjectStore:
    store = open_store(settings)
    if store.bucket != bucket:
        raise ConfigurationError(
            f"LLMA_S3_BUCKET: the rows' objects are in bucket {bucket}, the setting says {store.bucket}"
        )
    return store
