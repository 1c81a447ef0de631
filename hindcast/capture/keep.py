"""Keeping a captured event: claim, put the object, then row and commit in one transaction; else nothing stays."""

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import msgspec
import psycopg

from hindcast.capture.refusal import Refused
from hindcast.capture.request import Captured
from hindcast.capture.sessions import Sessions
from hindcast.database import add_months
from hindcast.errors import HindcastError, ObjectConflict
from hindcast.event import Event, derive_own_identity, identify
from hindcast.known import fetch_own
from hindcast.llm_events import SOURCE, put_references
from hindcast.objects.keys import ObjectUrl
from hindcast.objects.ledger import Claim, Owner, claim_object, commit_object, withdraw
from hindcast.objects.multipart import MultipartObject, build_object, describe_object
from hindcast.objects.store import ObjectStore
from hindcast.objects.teams import key_of

_TRIES: Final = 3  # a sweep that takes an object under our hands does so once
_INSERT: Final = (
    "INSERT INTO analytics_events"
    " (event_id, created_at, source, tenant, event_type, user_id, source_event_id, payload, imported_at)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s::jsonb, now())"
)
_log = logging.getLogger("hindcast.capture")


@dataclass(frozen=True)
class Keeper:
    """Where captured events go."""

    sessions: Sessions
    store: ObjectStore

    def keep(self, captured: Captured) -> bool:
        """Make an event durable; False when it was there, with the same content. Safe to repeat, and to race.

        Raises Refused 409 when its uuid is taken by other content, 503 when the database or the store fails: then
        nothing stays, or a claim that `hindcast objects sweep` takes back with its object.
        """
        try:
            bundle = build_object(captured.values) if captured.values else None
            for _ in range(_TRIES):
                is_new = self._keep_once(captured, bundle)
                if is_new is not None:
                    return is_new
        except ObjectConflict as conflict:
            raise Refused(409, f"uuid: {conflict}") from None
        except (HindcastError, FileNotFoundError) as error:
            _log.error("event not kept: %s", error)
            raise Refused(503, "the database or the object store is not available; try again later") from error
        raise Refused(503, "the object was swept while it was being kept; try again")

    def _keep_once(self, captured: Captured, bundle: MultipartObject | None) -> bool | None:
        """One try; None when a sweep came in between."""
        if bundle is None:
            return self._write(captured, captured.event, None)
        team, own_id = captured.event.tenant, captured.event.source_event_id
        assert own_id
        key = key_of(team, own_id)
        with self.sessions.lend() as connection:
            claim = claim_object(
                connection,
                self.store.bucket,
                key,
                Owner(team, UUID(own_id)),
                bundle.content.sha256,
                bundle.content.size,
            )
        try:
            if not claim.is_committed:
                about = describe_object(team, own_id, bundle.content_type, len(bundle.ranges))
                self.store.put(key, bundle.content, bundle.content_type, about)
            references = {
                name: str(ObjectUrl(self.store.bucket, key, first, last))
                for name, (first, last) in bundle.ranges.items()
            }
            event = msgspec.structs.replace(captured.event, payload=put_references(captured.event.payload, references))
            return self._write(captured, event, claim)
        except BaseException:
            self._withdraw(claim)
            raise

    def _write(self, captured: Captured, event: Event, claim: Claim | None) -> bool | None:
        with self.sessions.lend() as connection:
            try:
                return _write_once(connection, event, captured.is_timed, claim)
            except psycopg.errors.CheckViolation:  # no partition for its month
                day = event.occurred_at.date()
                add_months(connection, day, day + timedelta(days=1))
                return _write_once(connection, event, captured.is_timed, claim)

    def _withdraw(self, claim: Claim) -> None:
        if claim.is_committed:
            return
        try:
            with self.sessions.lend() as connection:
                withdraw(connection, self.store, claim)
        except (HindcastError, OSError) as error:
            _log.error("object %s stays until it is swept: %s", claim.key, error)


def _write_once(connection: psycopg.Connection, event: Event, is_timed: bool, claim: Claim | None) -> bool | None:
    """One transaction: the row, unless it is there, and the object's commit. None when the claim is gone."""
    assert event.source_event_id
    _, lock = derive_own_identity(0, SOURCE, event.tenant, event.source_event_id)
    is_new: bool | None = None
    with connection.transaction() as transaction:
        # One writer an event: own ids have no unique index, for their month is part of every key.
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (int.from_bytes(lock[:8], signed=True),))
        known = fetch_own(connection, SOURCE, event.tenant, event.source_event_id)
        if known and not is_timed:  # it was given the time of its first arrival
            event = msgspec.structs.replace(event, occurred_at=known[0].created_at)
        identified = identify(event, SOURCE)
        if known and all(row.content_hash != identified.content_hash for row in known):
            raise Refused(409, "uuid: an event with other content has it already; that one stays")
        if not known:
            connection.execute(
                _INSERT,
                (
                    UUID(bytes=identified.event_id),
                    event.occurred_at,
                    SOURCE,
                    event.tenant,
                    event.event_type,
                    event.user_id,
                    event.source_event_id,
                    identified.payload.decode(),
                ),
            )
        if claim and not commit_object(connection, claim):
            raise psycopg.Rollback(transaction)
        is_new = not known
    return is_new  # noqa: RET504  # not reached when a Rollback leaves the transaction early
