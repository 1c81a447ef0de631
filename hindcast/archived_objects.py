"""Objects of archived rows: copied into the archive before the rows go, removed after them, put back before them.

`objects-0001.bin` and so on hold the bytes one after the other; `objects.jsonl`, written after them and before the
archive's seal, which covers it, says what is where. An object goes only when it is archived and no row of the table
has its event; one that is put back is pending until its row is there, so a sweep mends a restore that was killed.
"""

import hashlib
from collections.abc import Iterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar
from uuid import UUID

import msgspec
import psycopg
from psycopg import sql

from hindcast.archive import Description, ObjectIndex
from hindcast.archive_store import join_location, keep_bytes, keep_file, local_copy, read_bytes
from hindcast.errors import ArchiveError, ConfigurationError, ObjectConflict
from hindcast.llm_events import SOURCE
from hindcast.objects.content import Content, Piece, Spool, file_piece
from hindcast.objects.ledger import Owner, Wanted, claim_objects
from hindcast.objects.store import REQUESTS_AT_ONCE, Head, ObjectStore, open_store
from hindcast.selection import Selection
from hindcast.settings import Settings

INDEX: Final = "objects.jsonl"
FILE_BYTES: Final = 256 * 1024 * 1024
BATCH: Final = 64
SPOOLED_BYTES: Final = 512 * 1024
_SELECT: Final = sql.SQL(
    "SELECT DISTINCT o.key, o.bucket, o.team, o.event_uuid::text, o.run_id::text, o.chunk_number, o.sha256"
    " FROM llm_objects AS o INNER JOIN analytics_events AS e"
    " ON e.source = {source} AND e.tenant = o.team AND e.source_event_id = o.event_uuid::text"
    " WHERE o.state = 'committed' AND {selected} ORDER BY o.key"
)
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
_Item = TypeVar("_Item")


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
    store = open_store_of(settings, {bucket for _, bucket, *_ in rows})
    writer = _Writer(folder, scratch)
    with closing(writer), ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        for batch in batched(rows):
            fetched = pool.map(lambda row: _fetch(store, row[0], row[-1], scratch), batch)
            for row, (head, spool) in zip(batch, fetched, strict=True):
                writer.add(row, head, spool)
        writer.keep()
    index = b"".join(msgspec.json.encode(found) + b"\n" for found in writer.archived)
    keep_bytes(INDEX, index, folder)
    return ObjectIndex(len(writer.archived), hashlib.sha256(index).hexdigest())


def verify_objects(description: Description, folder: str, scratch: Path) -> int:
    """Read every archived object again; returns how many. Raises ArchiveError when one is not what it was."""
    verified = 0
    for batch in _read(read_index(description, folder), folder, scratch):
        for found, content in batch:
            if content.sha256 != found.sha256:
                raise ArchiveError(f"{join_location(folder, found.file)}: object {found.key} is not what it was")
        verified += len(batch)
    return verified


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
    store = open_store_of(settings, {found.bucket for found in index})
    restored = 0
    for _ in range(_ATTEMPTS):
        for batch in _read(waiting, folder, scratch):
            restored += _put_back(connection, batch, store)
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


def _put_back(
    connection: psycopg.Connection, batch: Sequence[tuple[ArchivedObject, Content]], store: ObjectStore
) -> int:
    with connection.transaction():
        for claim in claim_objects(connection, store.bucket, [_wanted(found) for found, _ in batch]):
            if isinstance(claim, ObjectConflict):
                raise claim
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        return sum(
            pool.map(lambda item: store.put(item[0].key, item[1], item[0].content_type, item[0].metadata), batch)
        )


def _wanted(found: ArchivedObject) -> Wanted:
    run_id = UUID(found.run_id) if found.run_id else None
    owner = Owner(found.team, UUID(found.event_uuid), run_id, found.chunk_number)
    return Wanted(found.key, owner, found.sha256, found.size)


def _fetch(store: ObjectStore, key: str, sha256: str, scratch: Path) -> tuple[Head, Spool]:
    spool, digest = Spool(str(scratch), SPOOLED_BYTES), hashlib.sha256()
    try:
        head = store.head(key)
        for block in store.stream(key):
            digest.update(block)
            spool.write(block)
    except FileNotFoundError:
        raise ArchiveError(f"object {key}: is gone from the store, its row is not; nothing was deleted") from None
    if digest.hexdigest() != sha256:
        raise ArchiveError(f"object {key}: its bytes are not those that were put; nothing was deleted")
    return head, spool


class _Writer:
    def __init__(self, folder: str, scratch: Path) -> None:
        self._folder, self._scratch = folder, scratch
        self._files = 0
        self._file: BinaryIO | None = None
        self._waiting: list[ArchivedObject] = []
        self.archived: list[ArchivedObject] = []

    def add(self, row: tuple[Any, ...], head: Head, spool: Spool) -> None:
        if self._file is None:
            self._files += 1
            self._file = (self._scratch / self._name).open("wb")
        offset = self._file.tell()
        with closing(spool):
            for block in Content([Piece(spool.read_at, 0, spool.size)]):
                self._file.write(block)
        about = {name: value for name, value in head.metadata.items() if name != "sha256"}
        key, bucket, team, own_id, run_id, chunk, sha256 = row
        self._waiting.append(
            ArchivedObject(
                key,
                bucket,
                team,
                own_id,
                run_id,
                chunk,
                sha256,
                head.content_type,
                about,
                self._name,
                offset,
                spool.size,
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


def _read(index: list[ArchivedObject], folder: str, scratch: Path) -> Iterator[list[tuple[ArchivedObject, Content]]]:
    """Some objects at a time, with their bytes; these can be read until the next are asked for."""
    for (name, digest), group in groupby(index, key=lambda found: (found.file, found.file_sha256)):
        with local_copy(name, folder, digest, scratch) as path, path.open("rb") as file:
            for batch in batched(list(group)):
                yield [(found, Content([file_piece(file, found.offset, found.size)])) for found in batch]


def batched(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    """Some at a time, as many as are locked and moved at once."""
    return (items[at : at + BATCH] for at in range(0, len(items), BATCH))


def open_store_of(settings: Settings, buckets: Set[str]) -> ObjectStore:
    """The store that the settings name; raises ConfigurationError when the rows' objects are not all in its bucket."""
    store = open_store(settings)
    if others := sorted(buckets - {store.bucket}):
        raise ConfigurationError(
            f"LLMA_S3_BUCKET: the rows' objects are in bucket {others[0]}, the setting says {store.bucket}"
        )
    return store
