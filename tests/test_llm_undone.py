"""Rolling back LLM analytics: objects go with their rows, archived first, and come back with them."""

from datetime import timedelta
from pathlib import Path
from threading import Thread
from uuid import UUID

import msgspec
import psycopg
import pytest
from loading import count_events, load, query
from storing import put
from test_llm_imports import STATES, export_of, make_record
from undoing import begin_rollback, preview, restore, roll_back

from hindcast import restore as restoring
from hindcast.archive import Description, read_description, seal_archive
from hindcast.archive_ledger import Archive, find_archive
from hindcast.archived_objects import INDEX
from hindcast.database import connect
from hindcast.errors import ArchiveError
from hindcast.objects.ledger import Owner, claim_object, sweep
from hindcast.objects.store import ObjectStore, open_store, read_object
from hindcast.prune import delete_rows
from hindcast.removed_objects import remove_objects
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


def test_after_a_removal_that_was_killed_an_event_that_comes_again_has_its_object(
    objects: ObjectStore, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = load(target, export_of(tmp_path, make_record(1), make_record(2)))
    delete = type(objects).delete

    def delete_and_die(store: ObjectStore, key: str) -> None:
        delete(store, key)
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(type(objects), "delete", delete_and_die)
        with pytest.raises(KeyboardInterrupt):
            roll_back(target, begun.run.run_id)
    assert len(keys(objects)) < 2 and count_events(target) == 0
    (tmp_path / "again").mkdir()
    again = load(target, export_of(tmp_path / "again", make_record(1), make_record(2)))
    assert (len(keys(objects)), query(target, STATES)) == (2, [("committed", 2)])
    assert again.failed_checks() == set()


def test_an_event_that_comes_again_while_its_object_is_removed_keeps_it(
    objects: ObjectStore, target: str, tmp_path: Path
) -> None:
    archive, description = archived(target, tmp_path)
    with connect(target, load_settings()) as connection, psycopg.connect(target) as other:
        other.execute("UPDATE llm_objects SET state = 'committed'")  # of the event, in the table but not yet visible
        connection.execute("CREATE TABLE away AS TABLE analytics_events")
        connection.execute("DELETE FROM analytics_events")
        other.execute("INSERT INTO analytics_events SELECT * FROM away")
        removed: list[int] = []
        arguments = (connection, description, archive.uri, load_settings())
        removing = Thread(target=lambda: removed.append(remove_objects(*arguments)))
        removing.start()
        removing.join(0.1)
        assert removing.is_alive()
        other.commit()
        removing.join()
    assert (removed, len(keys(objects)), query(target, STATES)) == ([0], 1, [("committed", 1)])


def test_a_restore_that_was_killed_between_objects_and_rows_leaves_what_a_sweep_takes(
    objects: ObjectStore, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = load(target, export_of(tmp_path, make_record(1), make_record(2)))
    rows, states = query(target, "TABLE analytics_events"), query(target, STATES)
    roll_back(target, begun.run.run_id)
    [(archive_id,)] = query(target, "SELECT archive_id FROM import_archives")

    def die(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(restoring, "_restore_chunk", die)
        with pytest.raises(KeyboardInterrupt):
            restore(target, str(archive_id))
    assert len(keys(objects)) == 2 and count_events(target) == 0
    with connect(target, load_settings()) as connection:
        assert sweep(connection, objects, timedelta(0)).pending == 2
    assert (keys(objects), query(target, STATES)) == ([], [])
    restore(target, str(archive_id))
    assert (sorted(query(target, "TABLE analytics_events")), query(target, STATES)) == (sorted(rows), states)
    assert len(keys(objects)) == 2


def test_an_object_that_is_swept_while_rows_are_put_back_stops_the_restore(
    objects: ObjectStore, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = load(target, export_of(tmp_path, make_record(1)))
    roll_back(target, begun.run.run_id)
    [(archive_id,)] = query(target, "SELECT archive_id FROM import_archives")
    put_back = restoring.restore_objects

    def put_back_and_sweep(connection: psycopg.Connection, *arguments: object) -> int:
        restored = put_back(connection, *arguments)  # type: ignore[arg-type]
        sweep(connection, objects, timedelta(0))
        return restored

    with monkeypatch.context() as sweeping:
        sweeping.setattr(restoring, "restore_objects", put_back_and_sweep)
        with pytest.raises(ArchiveError, match="was swept before its row was put back; restore again"):
            restore(target, str(archive_id))
    assert count_events(target) == 0
    restore(target, str(archive_id))
    assert (len(keys(objects)), count_events(target)) == (1, 1)


def archived(target: str, tmp_path: Path) -> tuple[Archive, Description]:
    begun = load(target, export_of(tmp_path, make_record(1)))
    archive = begin_rollback(target, begun.run.run_id)
    return archive, read_description(archive.uri)


@pytest.mark.parametrize("change", ["gone", "other"])
def test_a_list_of_objects_that_is_not_what_was_sealed_is_refused_before_anything_goes(
    change: str, objects: ObjectStore, target: str, tmp_path: Path
) -> None:
    archive, _ = archived(target, tmp_path)
    index = Path(archive.uri) / INDEX
    if change == "gone":
        index.unlink()
    else:
        index.write_bytes(index.read_bytes().replace(b"default", b"another"))
    with connect(target, load_settings()) as connection, pytest.raises(ArchiveError, match=INDEX):
        delete_rows(connection, archive, load_settings(), lambda rows: None)
    assert (count_events(target), len(keys(objects))) == (1, 1)


def test_an_archive_sealed_before_its_list_was_noted_is_restored(
    objects: ObjectStore, target: str, tmp_path: Path
) -> None:
    archive, description = archived(target, tmp_path)
    description.objects = msgspec.UNSET
    seal_archive(description, archive.uri)
    assert b"sha256" in (Path(archive.uri) / INDEX).read_bytes()
    with connect(target, load_settings()) as connection:
        delete_rows(connection, archive, load_settings(), lambda rows: None)
    assert keys(objects) == []
    restore(target, str(archive.archive_id))
    assert (len(keys(objects)), count_events(target)) == (1, 1)


def test_a_sweep_leaves_an_object_that_somebody_else_put(objects: ObjectStore, target: str) -> None:
    key = "llma/default/theirs"
    put(objects, key, b"theirs")
    with connect(target, load_settings()) as connection:
        claim_object(connection, objects.bucket, key, Owner("default", UUID(int=1)), "0" * 64, 6)
        assert sweep(connection, objects, timedelta(0)).foreign == 1
    assert keys(objects) == [key]
