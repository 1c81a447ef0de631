"""Rolling back LLM analytics: objects go with their rows, archived first, and come back with them."""

from pathlib import Path

import pytest
from loading import count_events, load, query
from test_llm_imports import STATES, export_of, make_record
from undoing import begin_rollback, preview, restore, roll_back

from hindcast.archive_ledger import find_archive
from hindcast.database import connect
from hindcast.errors import ArchiveError
from hindcast.objects.store import ObjectStore, open_store, read_object
from hindcast.prune import delete_rows
from hindcast.settings import load_settings

pytest_plugins = ["loading_fixtures", "objects_fixtures"]


@pytest.fixture(params=["local", "s3"])
def objects(request: pytest.FixtureRequest, target: str, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """The store that imports use, of each kind, with a target."""
    if request.param == "s3":
        monkeypatch.setenv("LLMA_S3_BUCKET", request.getfixturevalue("bucket"))
    return open_store(load_settings())


def keys(objects: ObjectStore) -> list[str]:
    return [found.key for found in objects.list("llma/")]


def test_a_rollback_leaves_no_object_and_restoring_brings_all_back(
    objects: ObjectStore, target: str, tmp_path: Path
) -> None:
    begun = load(target, export_of(tmp_path, *(make_record(number) for number in range(5))))
    before = {key: (read_object(objects, key), objects.head(key)) for key in keys(objects)}
    rows = query(target, "TABLE llm_objects")
    roll_back(target, begun.run.run_id)
    [(archive_id,)] = query(target, "SELECT archive_id FROM import_archives")
    assert (keys(objects), query(target, STATES), count_events(target)) == ([], [], 0)
    restore(target, str(archive_id))
    assert {key: (read_object(objects, key), objects.head(key)) for key in keys(objects)} == before
    assert len(query(target, "TABLE llm_objects")) == len(rows) == 5
    assert begun.failed_checks() == set()


def test_an_object_that_another_row_has_stays(objects: ObjectStore, target: str, tmp_path: Path) -> None:
    begun = load(target, export_of(tmp_path, make_record(1), make_record(2)))
    query(
        target,
        "INSERT INTO analytics_events (event_id, created_at, source, tenant, event_type, source_event_id)"
        " SELECT gen_random_uuid(), created_at, source, tenant, event_type, source_event_id FROM analytics_events"
        " WHERE source_event_id = %s",
        make_record(1)["uuid"],
    )
    roll_back(target, begun.run.run_id)
    assert keys(objects) == [f"llma/default/{make_record(1)['uuid']}"]


def test_nothing_goes_when_an_archived_object_is_not_what_it_was(
    objects: ObjectStore, target: str, tmp_path: Path
) -> None:
    begun = load(target, export_of(tmp_path, make_record(1)))
    objects.delete(keys(objects)[0])
    assert preview(target, begun.run.run_id).rows == 1
    with pytest.raises(ArchiveError, match="gone from the store"):
        begin_rollback(target, begun.run.run_id)
    assert count_events(target) == 1


def test_a_removal_that_was_killed_goes_on(
    objects: ObjectStore, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = load(target, export_of(tmp_path, make_record(1), make_record(2)))
    delete, calls = type(objects).delete, []

    def delete_once(store: ObjectStore, key: str) -> None:
        calls.append(key)
        if len(calls) == 2:
            raise KeyboardInterrupt
        delete(store, key)

    with monkeypatch.context() as dying:
        dying.setattr(type(objects), "delete", delete_once)
        with pytest.raises(KeyboardInterrupt):
            roll_back(target, begun.run.run_id)
    assert len(keys(objects)) == 1
    with connect(target, load_settings()) as connection:
        [(archive_id,)] = query(target, "SELECT archive_id FROM import_archives")
        delete_rows(connection, find_archive(connection, str(archive_id)), load_settings(), lambda rows: None)
    assert (keys(objects), query(target, STATES)) == ([], [])
