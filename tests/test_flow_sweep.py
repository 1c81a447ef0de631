"""The scheduled sweep: what a kill left without an event goes, and nothing else."""

from datetime import timedelta
from uuid import UUID

import pytest
from storing import put

from hindcast.database import connect
from hindcast.errors import ConfigurationError
from hindcast.objects.content import Content
from hindcast.objects.ledger import Owner, claim_object, commit_object
from hindcast.objects.store import open_store
from hindcast.settings import load_settings

pytest_plugins = ["flow_fixtures", "loading_fixtures"]
pytestmark = pytest.mark.flow


def test_what_is_pending_for_longer_than_the_grace_goes(database: str) -> None:
    from flows.sweep import sweep

    assert sweep() == {"pending": 0, "unlisted": 0, "foreign": 0, "size_bytes": 0}
    store = open_store(load_settings())
    with connect(database, load_settings()) as connection:
        for number, key in enumerate(["llma/default/left", "llma/default/kept"]):
            owner = Owner("default", UUID(int=number))
            claim = claim_object(connection, store.bucket, key, owner, Content([b"x"]).sha256, 1)
            put(store, key, b"x")
        assert commit_object(connection, claim)
        connection.execute("UPDATE llm_objects SET created_at = created_at - %s", (timedelta(minutes=30),))
    assert sweep()["pending"] == 0
    assert sweep(grace_minutes=20) == {"pending": 1, "unlisted": 0, "foreign": 0, "size_bytes": 1}
    assert [found.key for found in store.list()] == ["llma/default/kept"]


def test_without_anything_pending_no_store_is_opened(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.sweep import sweep

    monkeypatch.setenv("HINDCAST_OBJECT_STORE", "s3")  # and no bucket is named
    with pytest.raises(ConfigurationError):
        open_store(load_settings())
    assert sweep()["pending"] == 0
