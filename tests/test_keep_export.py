"""Raw exports kept: copied, read back, named in the ledger, never overwritten."""

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pytest
from loading import begin, make_event, query, stage, write_export
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

import hindcast.keep_export
from hindcast.database import connect
from hindcast.keep_export import Kept, export_files, keep_file, record_kept
from hindcast.settings import load_settings
from hindcast.storage import open_binary, s3_client

pytest_plugins = ["loading_fixtures"]

LAST = datetime(2024, 1, 31, 23, tzinfo=UTC)


def keep(file: Path, prefix: str | Path, dataset: str = "analytics-history") -> Kept:
    """Stage an export of one file and keep it."""
    plan, _, _ = stage(file, dataset=dataset)
    (only,) = export_files(plan.parts)
    return keep_file(only, plan, str(prefix), LAST)


@pytest.fixture
def export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HINDCAST_HOME", str(tmp_path / "home"))
    return write_export(tmp_path / "analytics-history-20240131.jsonl", [make_event(n) for n in range(20)])


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A prefix in a real S3 server."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in (("ENDPOINT_URL", f"http://{host}:{port}"), ("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "x")):
        monkeypatch.setenv(f"AWS_{name}", value)
    s3_client.cache_clear()
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="bucket")
    yield "s3://bucket"
    s3_client().close()
    s3_client.cache_clear()
    server.stop()


def test_a_file_is_kept_below_its_dataset_and_year(export: Path, tmp_path: Path) -> None:
    kept = keep(export, tmp_path / "kept")
    place = tmp_path / "kept" / "analytics-history" / "2024" / "analytics-history-20240131.jsonl"
    assert kept == Kept(export.name, "kept", str(place))
    assert place.read_bytes() == export.read_bytes()
    assert list(place.parent.iterdir()) == [place]


def test_a_file_is_kept_on_s3_as_the_runbook_has_it(export: Path, bucket: str) -> None:
    kept = keep(export, bucket)
    assert kept.kept_as == "s3://bucket/analytics-history/2024/analytics-history-20240131.jsonl"
    with open_binary(kept.kept_as) as copy:
        assert copy.read() == export.read_bytes()


def test_an_export_of_s3_is_kept_in_a_folder(export: Path, bucket: str, tmp_path: Path) -> None:
    s3_client().put_object(Bucket="bucket", Key="in/day.jsonl", Body=export.read_bytes())
    plan, _, _ = stage("s3://bucket/in/day.jsonl")
    (file,) = export_files(plan.parts)
    kept = keep_file(file, plan, str(tmp_path / "kept"), LAST)
    assert kept.kept_as and Path(kept.kept_as).read_bytes() == export.read_bytes()


@pytest.mark.parametrize("store", ["folder", "s3"])
def test_keeping_again_writes_nothing(
    store: str, export: Path, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = tmp_path / "kept" if store == "folder" else request.getfixturevalue("bucket")
    first = keep(export, prefix)
    for kind in (hindcast.keep_export._FolderStore, hindcast.keep_export._S3Store):
        monkeypatch.setattr(kind, "write", None)
    assert keep(export, prefix) == first


@pytest.mark.parametrize("store", ["folder", "s3"])
def test_another_export_of_the_same_name_gets_another_name(
    store: str, export: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    prefix = tmp_path / "kept" if store == "folder" else request.getfixturevalue("bucket")
    first = keep(export, prefix)
    before = export.read_bytes()
    write_export(export, [make_event(n) for n in range(5)])
    second = keep(export, prefix)
    assert second.kept_as and first.kept_as and second.kept_as != first.kept_as
    assert second.kept_as.rpartition("/")[2].startswith("analytics-history-20240131-")
    assert keep(export, prefix) == second
    with open_binary(first.kept_as) as copy:
        assert copy.read() == before


def test_an_archive_is_kept_whole_and_once(export: Path, tmp_path: Path) -> None:
    archive = tmp_path / "two.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(export, "a.jsonl")
        file.write(export, "b.jsonl")
    plan, _, _ = stage(archive)
    (whole,) = export_files(plan.parts)
    assert whole.parts == ("two.zip!a.jsonl", "two.zip!b.jsonl")
    kept = keep_file(whole, plan, str(tmp_path / "kept"), LAST)
    assert kept.kept_as and Path(kept.kept_as).read_bytes() == archive.read_bytes()


def test_a_file_that_changed_since_it_was_read_is_not_kept(export: Path, tmp_path: Path) -> None:
    plan, _, _ = stage(export)
    (file,) = export_files(plan.parts)
    export.write_text("{}\n")
    kept = keep_file(file, plan, str(tmp_path / "kept"), LAST)
    assert kept.status == "failed" and "changed since it was imported" in str(kept.reason)
    assert not (tmp_path / "kept").exists()


def test_a_store_that_is_not_there_is_told_and_raises_nothing(export: Path, bucket: str, tmp_path: Path) -> None:
    assert "NoSuchBucket" in str(keep(export, "s3://nowhere").reason)
    (tmp_path / "file").write_text("")
    assert keep(export, tmp_path / "file" / "below").status == "failed"


def test_a_name_that_leads_out_of_the_prefix_is_not_kept(export: Path, tmp_path: Path) -> None:
    plan, _, _ = stage(export)
    (file,) = export_files(plan.parts)
    outside = type(file)("../../../x.jsonl", file.location, file.fingerprint, file.parts)
    assert "not a name that can be kept" in str(keep_file(outside, plan, str(tmp_path / "kept"), LAST).reason)


def test_a_kill_while_copying_leaves_no_half_copy_and_the_next_attempt_tidies_up(export: Path, tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib; import hindcast.keep_export as k\n"
        "k.os.fsync = lambda descriptor: os.kill(os.getpid(), 9)\n"
        "k._FolderStore(pathlib.Path(sys.argv[1])).write(sys.argv[2], open(sys.argv[3], 'rb'))"
    )
    folder = tmp_path / "kept" / "analytics-history" / "2024"
    killed = subprocess.run([sys.executable, "-c", code, str(folder), export.name, str(export)], check=False)
    assert killed.returncode == -9
    assert [path.suffix for path in folder.iterdir()] == [".part"]
    assert keep(export, tmp_path / "kept").status == "kept"
    assert list(folder.iterdir()) == [folder / export.name]


def test_the_ledger_names_the_copy(target: str, export: Path, tmp_path: Path) -> None:
    begun = begin(target, export)
    (file,) = export_files(begun.plan.parts)
    kept = keep_file(file, begun.plan, str(tmp_path / "kept"), LAST)
    with connect(target, load_settings()) as connection:
        record_kept(connection, begun.run.run_id, file, kept)
    assert query(target, "SELECT part, kept_as FROM import_parts") == [(export.name, kept.kept_as)]
