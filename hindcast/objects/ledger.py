"""The ledger of objects: an intent before an object is put, a commit with its event, a sweep of what never was.

    claim -> put -> (event rows + commit, one transaction)

Killed anywhere, an object without an event is pending here, and swept; an event without its object cannot be, for
its transaction commits only when the claim is still there. Every step may be repeated.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

import psycopg

from hindcast.errors import ObjectConflict
from hindcast.objects.store import ObjectStore
from hindcast.objects.teams import ROOT

# In the order given: two writers that lock rows in one order never wait for each other in a circle.
_CLAIM: Final = (
    "INSERT INTO llm_objects (bucket, key, team, event_uuid, run_id, chunk_number, size_bytes, sha256, claim)"
    " SELECT %s, key, team, event_uuid, run_id, chunk_number, size_bytes, sha256, claim"
    " FROM unnest(%s::text[], %s::text[], %s::uuid[], %s::uuid[], %s::integer[], %s::bigint[], %s::text[], %s::uuid[])"
    " WITH ORDINALITY AS w (key, team, event_uuid, run_id, chunk_number, size_bytes, sha256, claim, place)"
    " ORDER BY place"
    " ON CONFLICT (bucket, key) DO UPDATE"
    " SET claim = EXCLUDED.claim, created_at = now(), run_id = EXCLUDED.run_id, chunk_number = EXCLUDED.chunk_number"
    " WHERE llm_objects.state = 'pending' AND llm_objects.sha256 = EXCLUDED.sha256"
    " RETURNING key"
)
_COMMIT: Final = (
    "WITH locked AS (SELECT o.bucket, o.key FROM llm_objects AS o"
    " INNER JOIN unnest(%s::text[], %s::text[], %s::text[]) AS w (bucket, key, sha256)"
    " ON (o.bucket, o.key, o.sha256) = (w.bucket, w.key, w.sha256)"
    ' ORDER BY o.key COLLATE "C" FOR UPDATE OF o)'
    " UPDATE llm_objects AS o SET state = 'committed', committed_at = coalesce(o.committed_at, now())"
    " FROM locked WHERE (o.bucket, o.key) = (locked.bucket, locked.key)"
)
_NEXT_PENDING: Final = (
    "SELECT key, size_bytes, sha256 FROM llm_objects"
    " WHERE state = 'pending' AND bucket = %s AND created_at < %s AND key > %s"
    " ORDER BY key LIMIT 1 FOR UPDATE SKIP LOCKED"
)


@dataclass(frozen=True)
class Owner:
    """Whose object it is; `run_id` and `chunk_number` are those of an import, None for a live event."""

    team: str
    event_uuid: UUID
    run_id: UUID | None = None
    chunk_number: int | None = None


@dataclass(frozen=True)
class Wanted:
    """An object about to be put."""

    key: str
    owner: Owner
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Claim:
    """The right to put an object and to commit it with its event. `is_committed`: that was done before."""

    bucket: str
    key: str
    sha256: str
    token: UUID
    is_committed: bool


@dataclass
class Sweep:
    """What a sweep found: objects of the ledger that never were committed, and objects the ledger does not have.

    `foreign` is how many claims were given up whose key holds other bytes: those are somebody else's, and stay.
    """

    pending: int = 0
    unlisted: int = 0
    foreign: int = 0
    size_bytes: int = 0


def claim_object(
    connection: psycopg.Connection, bucket: str, key: str, owner: Owner, sha256: str, size_bytes: int
) -> Claim:
    """Note that an object is about to be put. Commit this before putting it.

    Waits for a sweep of the same key. Raises ObjectConflict when the key is claimed for other bytes.
    """
    [claim] = claim_objects(connection, bucket, [Wanted(key, owner, sha256, size_bytes)])
    if isinstance(claim, ObjectConflict):
        raise claim
    return claim


def claim_objects(
    connection: psycopg.Connection, bucket: str, wanted: Sequence[Wanted]
) -> list[Claim | ObjectConflict]:
    """Note that objects are about to be put, all at once; a key claimed for other bytes has its conflict instead.

    Commit this before putting them. Waits for a sweep of the same keys.
    """
    claims: dict[int, Claim | ObjectConflict] = {}
    waiting = sorted(enumerate(wanted), key=lambda item: item[1].key)
    while waiting:  # once, unless a key is wanted twice: a statement takes it once only
        first = {found.key: place for place, found in reversed(waiting)}
        taken = [(place, found) for place, found in waiting if first[found.key] == place]
        waiting = [(place, found) for place, found in waiting if first[found.key] != place]
        claimed = _claim_once(connection, bucket, [found for _, found in taken])
        claims.update(zip((place for place, _ in taken), claimed, strict=True))
    return [claims[place] for place in range(len(wanted))]


def _claim_once(connection: psycopg.Connection, bucket: str, wanted: list[Wanted]) -> list[Claim | ObjectConflict]:
    keys, sums = [found.key for found in wanted], [found.sha256 for found in wanted]
    owners, tokens = [found.owner for found in wanted], [uuid4() for _ in wanted]
    columns = (
        keys,
        [owner.team for owner in owners],
        [owner.event_uuid for owner in owners],
        [owner.run_id for owner in owners],
        [owner.chunk_number for owner in owners],
        [found.size_bytes for found in wanted],
        sums,
        tokens,
    )
    taken = {key for (key,) in connection.execute(_CLAIM, (bucket, *columns))}
    query = "SELECT key, sha256, state FROM llm_objects WHERE bucket = %s AND key = ANY(%s)"
    others = [key for key in keys if key not in taken]
    held = {key: about for key, *about in connection.execute(query, (bucket, others))} if others else {}
    claims: list[Claim | ObjectConflict] = []
    for found, token in zip(wanted, tokens, strict=True):
        about = held.get(found.key)
        if found.key in taken or about == [found.sha256, "committed"]:
            claims.append(Claim(bucket, found.key, found.sha256, token, is_committed=found.key not in taken))
        else:
            state = f"is {about[1]} with other bytes" if about else "was being swept"
            claims.append(ObjectConflict(f"object {found.key}: {state}; left as it is"))
    return claims


def commit_object(connection: psycopg.Connection, claim: Claim) -> bool:
    """Make an object its event's, in the transaction that writes the event.

    False when a sweep took the object meanwhile: roll back, claim and put it again.
    """
    return commit_objects(connection, [claim])


def commit_objects(connection: psycopg.Connection, claims: Iterable[Claim]) -> bool:
    """Make objects their events', in the transaction that writes the events; False when a sweep took any of them."""
    places = list({(claim.bucket, claim.key, claim.sha256) for claim in claims})
    if not places:
        return True
    return connection.execute(_COMMIT, [list(column) for column in zip(*places, strict=True)]).rowcount == len(places)


def withdraw(connection: psycopg.Connection, store: ObjectStore, claim: Claim) -> bool:
    """Take a claim and its object back after a failure; False when another writer has taken it up since.

    Other bytes under its key stay. The object goes while its row is locked, so nobody can claim it in between.
    """
    with connection.transaction():
        found = connection.execute(
            "SELECT FROM llm_objects WHERE bucket = %s AND key = %s AND claim = %s AND state = 'pending' FOR UPDATE",
            (claim.bucket, claim.key, claim.token),
        ).rowcount
        if found:
            is_foreign = _holds_others(store, claim.key, claim.sha256)
            (_forget if is_foreign else _remove)(connection, store, claim.key)
    return bool(found)


def release(connection: psycopg.Connection, claim: Claim) -> None:
    """Give a claim up and leave the object, whose bytes are somebody else's."""
    connection.execute(
        "DELETE FROM llm_objects WHERE bucket = %s AND key = %s AND claim = %s AND state = 'pending'",
        (claim.bucket, claim.key, claim.token),
    )


def has_pending(connection: psycopg.Connection, grace: timedelta) -> bool:
    """True when some object was claimed longer than `grace` ago and never committed, in whatever bucket."""
    query = "SELECT FROM llm_objects WHERE state = 'pending' AND created_at < %s LIMIT 1"
    return connection.execute(query, (datetime.now(UTC) - grace,)).rowcount > 0


def sweep(connection: psycopg.Connection, store: ObjectStore, grace: timedelta, is_dry_run: bool = False) -> Sweep:
    """Remove objects that were claimed longer than `grace` ago and never committed. One transaction an object.

    A key that holds other bytes than were claimed is only given up: whoever claimed it died before finding that out.
    """
    swept = Sweep()
    latest = datetime.now(UTC) - grace
    key = ""
    if not is_dry_run:
        store.discard_unfinished(latest)
    while True:
        with connection.transaction():
            row = connection.execute(_NEXT_PENDING, (store.bucket, latest, key)).fetchone()
            if not row:
                return swept
            key = row[0]
            is_foreign = _holds_others(store, key, row[2])
            if not is_dry_run:
                (_forget if is_foreign else _remove)(connection, store, key)
        swept.foreign += is_foreign
        swept.pending += not is_foreign
        swept.size_bytes += 0 if is_foreign else row[1]


def sweep_unlisted(
    connection: psycopg.Connection, store: ObjectStore, grace: timedelta, is_dry_run: bool = False
) -> Sweep:
    """Remove objects below our prefix, older than `grace`, that the ledger does not have: of a lost database, say.

    Only for a bucket that nobody else writes to.
    """
    swept = Sweep()
    latest = datetime.now(UTC) - grace
    for found in store.list(f"{ROOT}/"):
        if found.modified_at < latest and _take_unlisted(connection, store, found.key, is_dry_run):
            swept.unlisted += 1
            swept.size_bytes += found.size_bytes
    return swept


def _take_unlisted(connection: psycopg.Connection, store: ObjectStore, key: str, is_dry_run: bool) -> bool:
    with connection.transaction():
        # Its row locks the key: whoever claims it now waits until the object is gone, and puts it again.
        is_ours = connection.execute(
            "INSERT INTO llm_objects (bucket, key, team, event_uuid, size_bytes, sha256, claim)"
            " VALUES (%s, %s, '', %s, 0, '', %s) ON CONFLICT DO NOTHING",
            (store.bucket, key, UUID(int=0), uuid4()),
        ).rowcount
        if not is_ours:
            return False
        if is_dry_run:
            connection.execute("DELETE FROM llm_objects WHERE bucket = %s AND key = %s", (store.bucket, key))
        else:
            _remove(connection, store, key)
    return True


def _holds_others(store: ObjectStore, key: str, sha256: str) -> bool:
    try:
        return store.head(key).metadata.get("sha256") != sha256
    except FileNotFoundError:
        return False


def _remove(connection: psycopg.Connection, store: ObjectStore, key: str) -> None:
    store.delete(key)
    _forget(connection, store, key)


def _forget(connection: psycopg.Connection, store: ObjectStore, key: str) -> None:
    connection.execute("DELETE FROM llm_objects WHERE bucket = %s AND key = %s", (store.bucket, key))
