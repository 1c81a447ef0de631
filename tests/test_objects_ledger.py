"""Intents, commits and the sweep: no object without its event, whatever dies when."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Thread
from uuid import UUID

import psycopg
import pytest
from loading import query
from storing import put

from hindcast.database import connect
from hindcast.errors import ObjectConflict
from hindcast.objects.content import Content
from hindcast.objects.ledger import (
    Claim,
    Owner,
    Wanted,
    claim_object,
    claim_objects,
    commit_object,
    commit_objects,
    sweep,
    sweep_unlisted,
    withdraw,
)
from hindcast.objects.local import LocalStore
from hindcast.objects.store import read_object
from hindcast.settings import load_settings

pytest_plugins = ["loading_fixtures"]
KEY, EVENT, NOW = "llma/0f25663a3e84ea94/one", UUID(int=1), timedelta(0)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "objects", "llma")


@pytest.fixture
def session(target: str) -> Iterator[psycopg.Connection]:
    with connect(target, load_settings()) as connection:
        yield connection


def claim(session: psycopg.Connection, data: bytes = b"x", key: str = KEY) -> Claim:
    owner = Owner("0f25663a3e84ea94", EVENT)
    return claim_object(session, "llma", key, owner, Content([data]).sha256, len(data))


def test_what_is_committed_is_not_swept(session: psycopg.Connection, store: LocalStore) -> None:
    claimed = claim(session)
    put(store, KEY, b"x")
    assert commit_object(session, claimed)
    assert sweep(session, store, NOW).pending == 0
    assert list(store.list())


def test_what_never_was_committed_is_swept_after_the_grace(session: psycopg.Connection, store: LocalStore) -> None:
    claim(session)
    put(store, KEY, b"x")
    assert sweep(session, store, timedelta(minutes=1)).pending == 0
    assert sweep(session, store, NOW, is_dry_run=True).pending == 1 and list(store.list())
    swept = sweep(session, store, NOW)
    assert (swept.pending, swept.size_bytes, list(store.list())) == (1, 1, [])
    assert sweep(session, store, NOW).pending == 0


def test_a_claim_without_an_object_is_swept_too(session: psycopg.Connection, store: LocalStore, target: str) -> None:
    for n in range(3):
        claim(session, key=f"{KEY}{n}")
    assert sweep(session, store, NOW).pending == 3
    assert query(target, "SELECT count(*) FROM llm_objects") == [(0,)]


def test_what_somebody_else_put_under_the_key_stays(
    session: psycopg.Connection, store: LocalStore, target: str
) -> None:
    put(store, KEY, b"theirs")
    claim(session)  # and died before it found out
    assert sweep(session, store, NOW, is_dry_run=True).foreign == 1
    swept = sweep(session, store, NOW)
    assert (swept.pending, swept.foreign, swept.size_bytes) == (0, 1, 0)
    assert read_object(store, KEY) == b"theirs"
    assert query(target, "SELECT count(*) FROM llm_objects") == [(0,)]


def test_taking_back_leaves_the_bytes_of_others(session: psycopg.Connection, store: LocalStore) -> None:
    put(store, KEY, b"theirs")
    assert withdraw(session, store, claim(session))
    assert read_object(store, KEY) == b"theirs"


def test_a_commit_after_a_sweep_says_that_the_object_is_gone(session: psycopg.Connection, store: LocalStore) -> None:
    claimed = claim(session)
    sweep(session, store, NOW)
    assert not commit_object(session, claimed)


def test_other_bytes_for_a_key_are_a_conflict(session: psycopg.Connection, store: LocalStore) -> None:
    first = claim(session)
    with pytest.raises(ObjectConflict, match="is pending with other bytes"):
        claim(session, b"y")
    commit_object(session, first)
    with pytest.raises(ObjectConflict, match="is committed with other bytes"):
        claim(session, b"y")
    assert claim(session).is_committed


def test_only_the_last_claimer_takes_back(session: psycopg.Connection, store: LocalStore) -> None:
    first, second = claim(session), claim(session)
    put(store, KEY, b"x")
    assert not withdraw(session, store, first) and list(store.list())
    assert withdraw(session, store, second) and not list(store.list())


def test_nothing_committed_is_taken_back(session: psycopg.Connection, store: LocalStore) -> None:
    claimed = claim(session)
    put(store, KEY, b"x")
    commit_object(session, claimed)
    assert not withdraw(session, store, claimed) and list(store.list())


def test_a_sweep_leaves_what_another_transaction_holds(
    session: psycopg.Connection, store: LocalStore, target: str
) -> None:
    claimed = claim(session)
    put(store, KEY, b"x")
    with psycopg.connect(target) as committing:
        assert commit_object(committing, claimed)
        assert sweep(session, store, NOW).pending == 0
    assert list(store.list())


def test_objects_the_ledger_does_not_have_are_swept_when_asked(
    session: psycopg.Connection, store: LocalStore, target: str
) -> None:
    claimed = claim(session)
    for key in (KEY, "llma/t/unlisted", "elsewhere/x"):
        put(store, key, b"x")
    commit_object(session, claimed)
    assert sweep_unlisted(session, store, NOW, is_dry_run=True).unlisted == 1
    assert sweep_unlisted(session, store, NOW).unlisted == 1
    assert [found.key for found in store.list()] == ["elsewhere/x", KEY]
    assert query(target, "SELECT count(*) FROM llm_objects") == [(1,)]


def wanted(*keys_and_data: tuple[str, bytes]) -> list[Wanted]:
    return [
        Wanted(key, Owner("0f25663a3e84ea94", EVENT), Content([data]).sha256, len(data)) for key, data in keys_and_data
    ]


def test_objects_are_claimed_all_at_once_each_with_its_own_answer(session: psycopg.Connection) -> None:
    commit_object(session, claim(session, b"x", "llma/t/done"))
    claim(session, b"x", "llma/t/pending")
    claims = claim_objects(
        session,
        "llma",
        wanted(
            ("llma/t/pending", b"x"), ("llma/t/new", b"x"), ("llma/t/pending", b"y"), ("llma/t/done", b"y"),
            ("llma/t/done", b"x"), ("llma/t/new", b"x"), ("llma/t/new", b"y"),
        ),
    )  # fmt: skip
    assert [getattr(found, "is_committed", str(found).partition(";")[0]) for found in claims] == [
        False, False, "object llma/t/pending: is pending with other bytes",
        "object llma/t/done: is committed with other bytes", True, False,
        "object llma/t/new: is pending with other bytes",
    ]  # fmt: skip
    assert claim_objects(session, "llma", []) == []


def test_objects_are_committed_all_at_once_or_a_sweep_is_told(session: psycopg.Connection, store: LocalStore) -> None:
    claims = [claim(session, key=f"{KEY}{n}") for n in range(3)]
    assert commit_objects(session, [*claims, claims[0]]) and commit_objects(session, claims)
    assert commit_objects(session, [])
    with session.transaction() as transaction:
        assert not commit_objects(session, [*claims, Claim("llma", f"{KEY}3", claims[0].sha256, UUID(int=9), False)])
        raise psycopg.Rollback(transaction)
    assert sweep(session, store, NOW).pending == 0


@pytest.mark.parametrize(
    ("statement", "is_kept"),
    [
        ("UPDATE llm_objects SET created_at = now(), claim = gen_random_uuid()", True),
        ("DELETE FROM llm_objects", False),
    ],
)
def test_a_commit_waits_for_whoever_has_the_claim_in_hand(
    statement: str, is_kept: bool, session: psycopg.Connection, target: str
) -> None:
    claimed, done = claim(session), []
    with psycopg.connect(target) as other:
        other.execute(statement)
        committing = Thread(target=lambda: done.append(commit_object(session, claimed)))
        committing.start()
        committing.join(0.1)
        assert committing.is_alive()
    committing.join()
    assert done == [is_kept]
