"""Archives: whole rows, exactly, in files that are read again; on disk and on S3."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import msgspec
import psycopg
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loading import Import, load, make_event, query, write_export
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from undoing import JANUARY, begin_rollback, ignore, preview, rebuild_rollups, restore, roll_back, table_digest

import hindcast.archive
import hindcast.archive_rows
import hindcast.row_texts
from hindcast.archive import read_description
from hindcast.archive_ledger import list_archives, open_archive
from hindcast.archive_rows import archive_rows, verify_archive
from hindcast.archived_ids import find_archived
from hindcast.database import connect
from hindcast.embedded import EmbeddedServer
from hindcast.errors import ArchiveError, TargetError
from hindcast.row_digest import Digest, hash_row
from hindcast.row_texts import copy_texts
from hindcast.selected_rows import SelectedRows, measure_rows
from hindcast.selection import Selection
from hindcast.settings import load_settings
from hindcast.storage import s3_client
from hindcast.times import parse_time

pytest_plugins = ["loading_fixtures"]

TEXTS = st.lists(st.one_of(st.none(), st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))))
NASTY = "tab\t cr\r nl\n quote\" 'single' back\\slash (comma, ) \x1b \x7f \u00a0 \u2028 é 日本 \U0001f600 \\N \\."


@pytest.fixture
def loaded(target: str, tmp_path: Path) -> Import:
    begun = load(target, write_export(tmp_path / "h.jsonl", map(make_event, range(80))))
    rebuild_rollups(target)
    return begun


@pytest.fixture(scope="module")
def session(postgres_server: EmbeddedServer) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        yield connection


@given(values=TEXTS.filter(bool))
def test_the_server_hashes_a_row_as_we_do(session: psycopg.Connection, values: list[str | None]) -> None:
    row = ", ".join(["%s::text"] * len(values))
    query = f"SELECT substring(sha256(convert_to(ROW({row})::text, 'UTF8')) FROM 1 FOR 16)"  # noqa: S608  # ours
    found = session.execute(query, values).fetchone()  # type: ignore[arg-type]  # ours
    assert found and found[0] == hash_row(values)


@given(st.lists(st.binary(min_size=16, max_size=16)))
def test_a_digest_knows_no_order_and_adds_up(hashes: list[bytes]) -> None:
    whole, pieces = Digest(), Digest()
    whole.add_hashes(b"".join(hashes))
    for value in sorted(hashes):
        pieces.add_hashes(value)
    assert whole == pieces and whole.rows == len(hashes)


def test_hostile_text_survives_archive_and_restore(target: str, loaded: Import) -> None:
    query(target, "UPDATE analytics_events SET user_id = %s, user_agent = '', session_id = NULL", NASTY)
    query(target, "UPDATE analytics_events SET payload = 'null' WHERE export_line = 1")
    query(target, "UPDATE analytics_events SET payload = NULL WHERE export_line = 2")
    query(target, "UPDATE analytics_events SET payload = '[1e-300, 1.10, \"\\\\u00e9\\\\n\"]' WHERE export_line = 3")
    rebuild_rollups(target)
    before = table_digest(target)
    restore(target, roll_back(target, run=loaded.run.run_id)["archive"])
    assert table_digest(target) == before


def test_another_client_encoding_changes_nothing(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    events = [make_event(n, user_agent="Zürich é") for n in range(20)]
    loaded = load(target, write_export(tmp_path / "h.jsonl", events))
    monkeypatch.delenv("PGCLIENTENCODING")
    assert query(target, "SELECT DISTINCT user_agent FROM analytics_events") == [("Zürich é",)]
    rebuild_rollups(target)
    before = table_digest(target)
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    report = roll_back(target, run=loaded.run.run_id)
    restore(target, report["archive"])
    monkeypatch.delenv("PGCLIENTENCODING")
    assert report["deleted"] == 20 and table_digest(target) == before


def test_columns_of_an_adopted_table_are_archived_too(target: str, loaded: Import) -> None:
    query(
        target,
        "ALTER TABLE analytics_events ADD COLUMN is_paid boolean DEFAULT true, ADD COLUMN score float8 DEFAULT 0.1,"
        " ADD COLUMN code char(5) DEFAULT 'ab', ADD COLUMN tags text[] DEFAULT '{a,\"b c\",NULL}',"
        " ADD COLUMN twice int8 GENERATED ALWAYS AS (export_line * 2) STORED,"
        " ADD COLUMN raw bytea DEFAULT '\\x00ff', ADD COLUMN took interval DEFAULT '1 day 2 hours'",
    )
    before = table_digest(target)
    restore(target, roll_back(target, run=loaded.run.run_id)["archive"])
    assert table_digest(target) == before


def test_chunks_and_files_are_bounded(target: str, loaded: Import, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HINDCAST_PRUNE_CHUNK_ROWS", "8")
    monkeypatch.setattr(hindcast.archive, "FILE_ROWS", 30)
    description = read_description(begin_rollback(target, run=loaded.run.run_id).uri)
    assert [(file.month, file.rows, file.first_chunk) for file in description.files] == [
        ("2024-01", 32, 0),
        ("2024-01", 28, 4),
        ("2024-02", 20, 8),
    ]
    assert description.files[1].chunks == [8, 8, 8, 4]


def test_large_rows_make_smaller_chunks(target: str, loaded: Import, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hindcast.row_texts, "_TABLE_BYTES", 2_000)
    files = read_description(begin_rollback(target, run=loaded.run.run_id).uri).files
    assert all(1 <= rows < 20 for file in files for rows in file.chunks)


def test_the_ledger_lists_files_with_their_digests(target: str, loaded: Import) -> None:
    archive = begin_rollback(target, run=loaded.run.run_id)
    rows = query(target, "SELECT file, rows, length(digest), length(sha256) FROM import_archive_files ORDER BY file")
    assert rows == [("rows-2024-01-0001.parquet", 60, 32, 64), ("rows-2024-02-0002.parquet", 20, 32, 64)]
    with connect(target, load_settings()) as connection:
        (listed,) = list_archives(connection, 5)
    assert (listed["status"], listed["rows"], listed["operator"]) == ("archived", 80, "ab")
    assert listed["uri"] == archive.uri and listed["size_bytes"] > 0


def test_rows_that_changed_since_they_were_confirmed_are_refused(target: str, loaded: Import) -> None:
    seen, settings = preview(target, run=loaded.run.run_id), load_settings()
    query(target, "UPDATE analytics_events SET user_id = 'x' WHERE export_line = 1")
    with connect(target, settings) as connection:
        archive = open_archive(connection, seen.selection, "ab", settings)
        with pytest.raises(TargetError, match="changed since the preview was confirmed"):
            archive_rows(connection, archive, seen.digest, settings, ignore)


def test_rows_that_changed_since_they_were_seen_are_hashed_again(
    target: str, loaded: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, settings = preview(target, run=loaded.run.run_id), load_settings()
    hashed: list[int] = []

    def measure(connection: psycopg.Connection, selection: Selection, columns: tuple[str, ...]) -> SelectedRows:
        hashed.append(1)
        return measure_rows(connection, selection, columns)

    monkeypatch.setattr(hindcast.archive_rows, "measure_rows", measure)
    with connect(target, settings) as connection:
        archive = open_archive(connection, seen.selection, "ab", settings)
        assert archive_rows(connection, archive, seen.digest, settings, ignore, seen.selected).digest == seen.digest
        assert not hashed
        query(target, "UPDATE analytics_events SET user_id = 'x' WHERE export_line = 1")
        changed = archive_rows(connection, archive, None, settings, ignore, seen.selected)
        assert changed.digest == preview(target, run=loaded.run.run_id).digest != seen.digest and len(hashed) == 1
        with pytest.raises(TargetError, match="changed since the preview was confirmed"):
            archive_rows(connection, archive, seen.digest, settings, ignore, seen.selected)
        query(target, "DELETE FROM analytics_events WHERE export_line = 2")
        fewer = archive_rows(connection, archive, None, settings, ignore, seen.selected)
        assert fewer.rows == 79 and len(hashed) == 3
        verify_archive(connection, archive, settings, ignore)


def test_rows_that_do_not_arrive_as_they_were_sent_stop_everything(
    target: str, loaded: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(connection: psycopg.Connection, *arguments: Any) -> Iterator[pa.Table]:
        for table in copy_texts(connection, *arguments):
            position = table.column_names.index("user_id")
            yield table.set_column(position, "user_id", pa.nulls(len(table), pa.string()))

    monkeypatch.setattr(hindcast.archive_rows, "copy_texts", lose)
    with pytest.raises(ArchiveError, match="month 2024-01: the rows written are not what the table holds"):
        begin_rollback(target, run=loaded.run.run_id)


def test_an_archive_that_is_not_what_the_table_holds_stops_everything(target: str, loaded: Import) -> None:
    seen, settings = preview(target, run=loaded.run.run_id), load_settings()
    with connect(target, settings) as connection:
        archive = open_archive(connection, seen.selection, "ab", settings)
        description = archive_rows(connection, archive, None, settings, ignore)
        description.digest = "0" * 32
        hindcast.archive.seal_archive(description, archive.uri)
        with pytest.raises(ArchiveError, match=r"the table held 80 with 0000.*nothing was deleted"):
            verify_archive(connection, archive, settings, ignore)
    assert query(target, "SELECT status FROM import_archives") == [("archiving",)]


def test_a_description_that_was_changed_is_refused(target: str, loaded: Import) -> None:
    path = Path(begin_rollback(target, run=loaded.run.run_id).uri, "archive.json")
    path.write_text(path.read_text().replace('"rows": 80', '"rows": 79'))
    with pytest.raises(ArchiveError, match="changed since it was sealed"):
        read_description(str(path.parent))


def test_archived_ids_are_known_until_they_are_restored(target: str, loaded: Import) -> None:
    ids = {bytes(value) for (value,) in query(target, "SELECT uuid_send(event_id) FROM analytics_events")}
    settings, archive = load_settings(), roll_back(target, run=loaded.run.run_id)["archive"]
    first, last = (parse_time(text)[0] for text in ("2024-01-31T23:10:00Z", "2024-02-01T00:05:00Z"))
    with connect(target, settings) as connection:
        assert find_archived(connection, settings, parse_time("2024-01-01")[0], parse_time("2024-03-01")[0]) == ids
        assert len(find_archived(connection, settings, first, last)) == 56
        assert find_archived(connection, settings, parse_time("2024-03-01")[0], parse_time("2024-04-01")[0]) == set()
        restore(target, archive)
        assert find_archived(connection, settings, first, last) == set()


def test_a_description_that_names_files_elsewhere_is_refused(target: str, loaded: Import) -> None:
    uri = begin_rollback(target, run=loaded.run.run_id).uri
    description = read_description(uri)
    description.files = [msgspec.structs.replace(description.files[0], name="../elsewhere.parquet")]
    hindcast.archive.seal_archive(description, uri)
    with pytest.raises(ArchiveError, match="names files outside of its folder"):
        read_description(uri)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A prefix in a real S3 server, set as the place of archives."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("HINDCAST_ARCHIVE", "s3://kept/undo/")
    s3_client.cache_clear()
    s3_client().create_bucket(Bucket="kept")
    yield "s3://kept/undo"
    s3_client().close()
    s3_client.cache_clear()
    server.stop()


def keys(bucket: str) -> list[str]:
    found = boto3.client("s3", region_name="us-east-1").list_objects_v2(Bucket="kept").get("Contents", [])
    return sorted(item["Key"].rpartition("/")[2] for item in found)


def test_an_archive_on_s3_is_verified_deleted_from_and_restored(target: str, loaded: Import, bucket: str) -> None:
    before = table_digest(target)
    report = roll_back(target, run=loaded.run.run_id)
    assert report["archive_uri"] == f"{bucket}/{report['archive']}"
    assert keys(bucket) == ["archive.json", "rows-2024-01-0001.parquet", "rows-2024-02-0002.parquet"]
    query(target, "TRUNCATE import_archives CASCADE")
    assert restore(target, report["archive"][:8])["restored"] == 80
    assert table_digest(target) == before
    assert restore(target, report["archive_uri"])["restored"] == 0


def test_a_bucket_that_is_not_there_is_told_and_nothing_is_deleted(
    target: str, loaded: Import, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HINDCAST_ARCHIVE", "s3://absent/x")
    with pytest.raises(ArchiveError, match=r"s3://absent/x/.*: the object store says: .*NoSuchBucket"):
        begin_rollback(target, window=JANUARY)
