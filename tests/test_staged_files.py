"""Staging on S3: what one host staged another reads, goes on with, and never mistakes for something else."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import msgspec
import pytest
from loading import InProcess, begin, make_event, stage, write_export

from hindcast.errors import ConfigurationError, ExportError, ObjectError
from hindcast.load import load_chunks
from hindcast.manifest import _compute_seal, load_manifest
from hindcast.plan import Request, follow_plan, load_plan, make_plan, save_plan
from hindcast.settings import load_settings
from hindcast.staged_files import keep_first
from hindcast.staging import read_chunk
from hindcast.synthetic import GenerateSpec, generate
from hindcast.verify import sum_proofs, verify_chunks

pytest_plugins = ["loading_fixtures", "objects_fixtures"]
START = datetime(2024, 1, 1, tzinfo=UTC)
UseHost = Callable[[str], Path]
STAGE = "hindcast.extract:stage_segment"


class Refuses(InProcess):
    """Workers that must not be asked to stage."""

    def map_unordered(self, function: str, calls: Any) -> Any:
        assert function != STAGE or not list(calls)
        return super().map_unordered(function, calls)


class Noting(InProcess):
    """Stages in this process, and notes which segments."""

    def __init__(self, staged: list[int]) -> None:
        self._staged = staged

    def call(self, function: str, *arguments: Any) -> Any:
        if function == STAGE:
            self._staged.append(arguments[1].number)
        return super().call(function, *arguments)


@pytest.fixture
def use_host(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> UseHost:
    """Be another host: one with a disk of its own, and the same S3."""
    monkeypatch.setenv("HINDCAST_STAGING", f"s3://{bucket}/staged/")
    monkeypatch.setenv("HINDCAST_SEGMENT_BYTES", "4096")
    monkeypatch.setenv("HINDCAST_PII_SECRET", "a secret")

    def use(name: str) -> Path:
        monkeypatch.setenv("HINDCAST_HOME", str(tmp_path / name))
        return tmp_path / name / "staging"

    return use


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return write_export(tmp_path / "history.jsonl", [*map(make_event, range(90)), "no record", make_event(5)])


def objects_of(bucket: str) -> Any:
    return boto3.resource("s3", region_name="us-east-1").Bucket(bucket).objects


def rows_of(folder: Path) -> list[Any]:
    return [read_chunk(folder, c.segment, c.staged_as.row_group).to_pylist() for c in load_manifest(folder).chunks]


def seal_otherwise(folder: Path) -> str:
    """Seal this host's copy as if by another version of Hindcast; returns the seal."""
    manifest = load_manifest(folder)
    manifest.totals.notes = {"as of another version": 1}
    manifest.seal = _compute_seal(manifest)
    (folder / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    return load_manifest(folder).seal


@pytest.mark.parametrize("name", ["analytics_history", "amplitude", "email_engagement", "llm_analytics"])
def test_a_host_that_staged_nothing_loads_and_verifies_what_another_staged(
    name: str, target: str, use_host: UseHost, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMA_S3_BUCKET", bucket)
    use_host("one")
    monkeypatch.setenv("HINDCAST_SEGMENT_BYTES", "1000000" if name == "llm_analytics" else "32768")
    out = tmp_path / ("x.zip" if name == "amplitude" else "x.jsonl")
    generate(GenerateSpec(name, 100, 5, out, START, START + timedelta(hours=6)))
    begun = begin(target, out)
    folder = use_host("two") / begun.folder.name
    load_chunks(begun.task())
    assert sum_proofs(begun.manifest, verify_chunks(begun.task())).status == "passed"
    assert begun.spot_check(20).differences == []
    assert load_manifest(folder).seal == begun.manifest.seal
    assert sorted(begun.folder.glob("segment-*.arrow")) and begun.counts().loaded
    assert not [path.name for path in folder.iterdir() if "fetched" in path.name]


def test_a_host_with_an_empty_home_goes_on_and_stages_only_what_is_missing(
    use_host: UseHost, bucket: str, export: Path
) -> None:
    use_host("one")
    plan, folder, manifest = stage(export)
    expected = rows_of(folder)
    use_host("two")
    again, other, _ = stage(export, Refuses())
    assert (again.latest, load_manifest(other).seal, rows_of(other)) == (plan.latest, manifest.seal, expected)
    objects_of(bucket).filter(Prefix=f"staged/{folder.name}/segment-00001.json").delete()
    objects_of(bucket).filter(Prefix=f"staged/{folder.name}/segment-00002.arrow").delete()
    third = use_host("three") / folder.name
    staged: list[int] = []
    stage(export, Noting(staged))
    assert staged == [1, 2] and rows_of(third) == expected and load_manifest(third).seal == manifest.seal


def test_what_is_whole_here_and_gone_from_s3_is_put_again(use_host: UseHost, bucket: str, export: Path) -> None:
    use_host("one")
    _, folder, _ = stage(export)
    names = {item.key for item in objects_of(bucket).all()}
    assert f"staged/{folder.name}/segment-00000.json" in names and f"staged/{folder.name}/plan.json" in names
    objects_of(bucket).all().delete()
    stage(export, Refuses())
    assert {item.key for item in objects_of(bucket).all()} == names


def test_staging_begun_before_the_setting_is_put_on_s3(
    use_host: UseHost, bucket: str, export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_host("one")
    setting = load_settings().staging
    monkeypatch.setenv("HINDCAST_STAGING", "")
    _, folder, _ = stage(export)
    assert not list(objects_of(bucket).all())
    monkeypatch.setenv("HINDCAST_STAGING", setting)
    stage(export, Refuses())
    other = use_host("two") / folder.name
    assert rows_of(other) == rows_of(folder)


def test_copies_of_an_earlier_plan_are_not_taken_for_those_of_the_present_one(
    use_host: UseHost, bucket: str, export: Path
) -> None:
    one = use_host("one")
    first, folder, _ = stage(export)
    other = use_host("two") / folder.name
    assert load_plan(other) == first and rows_of(other)
    objects_of(bucket).all().delete()
    shutil.rmtree(one)
    use_host("one")
    second, _, _ = stage(export)
    use_host("two")
    assert load_plan(other).latest == first.latest < second.latest
    assert follow_plan(other) and not list(other.glob("segment-*"))
    assert load_plan(other).latest == second.latest and rows_of(other) == rows_of(folder)


def test_a_copy_sealed_earlier_gives_way_to_the_seal_that_the_call_was_made_by(
    target: str, use_host: UseHost, export: Path
) -> None:
    use_host("one")
    begun = begin(target, export)
    other = use_host("two") / begun.folder.name
    true = load_manifest(other)
    assert seal_otherwise(other) != true.seal
    assert replace(begun.task(), seal=true.seal).read_manifest().seal == true.seal
    with pytest.raises(ExportError, match="sealed anew meanwhile; run again"):
        replace(begun.task(), seal="another").read_manifest()


def test_the_first_of_two_hosts_that_plan_decides(use_host: UseHost, export: Path) -> None:
    use_host("one")
    plans = [make_plan(Request(str(export)), load_settings(), START + timedelta(days=n)) for n in range(2)]
    first = save_plan(plans[0], load_settings().staging_dir / plans[0].folder_name)
    other = use_host("two") / first.folder_name
    other.mkdir(parents=True)
    (other / "plan.json.new").write_bytes(msgspec.json.encode(plans[1]))
    assert not keep_first(other / "plan.json.new", "plan.json")  # as when both asked before one had put it
    assert save_plan(plans[1], other).latest == first.latest == load_plan(other).latest


def test_processes_may_fetch_the_same_file_at_once(use_host: UseHost, export: Path) -> None:
    use_host("one")
    _, folder, manifest = stage(export)
    other = use_host("two") / folder.name
    with ThreadPoolExecutor(8) as pool:
        seals = {found.seal for found in pool.map(load_manifest, [other] * 16)}
    assert seals == {manifest.seal} and [path.name for path in other.iterdir()] == ["manifest.json"]


def test_what_is_damaged_or_gone_on_s3_is_told_with_its_place(use_host: UseHost, bucket: str, export: Path) -> None:
    use_host("one")
    _, folder, manifest = stage(export)
    other = use_host("two") / folder.name
    key = f"staged/{folder.name}/segment-00000.arrow"
    found = boto3.client("s3", region_name="us-east-1").get_object(Bucket=bucket, Key=key)
    data = bytearray(found["Body"].read())
    data[100] ^= 1
    client = boto3.client("s3", region_name="us-east-1")
    client.put_object(Bucket=bucket, Key=key, Body=bytes(data), Metadata=found["Metadata"])
    chunk = manifest.chunks[0]
    with pytest.raises(ExportError, match=rf"s3://{bucket}/{key}: its bytes are not those that were staged .* delete"):
        read_chunk(other, chunk.segment, chunk.staged_as.row_group)
    client.delete_object(Bucket=bucket, Key=key)
    with pytest.raises(ExportError, match=rf"s3://{bucket}/{key}: staged files are gone; run the backfill again"):
        read_chunk(other, chunk.segment, chunk.staged_as.row_group)
    assert not list(other.iterdir())


def test_a_wrong_setting_is_told_before_anything_is_staged(
    use_host: UseHost, export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_host("one")
    monkeypatch.setenv("HINDCAST_STAGING", "s3://no-such-bucket-here/x")
    with pytest.raises(ObjectError, match="the store answers NoSuchBucket; check HINDCAST_STAGING"):
        stage(export)
    monkeypatch.setenv("HINDCAST_STAGING", "/a/folder")
    with pytest.raises(ConfigurationError, match=r"setting HINDCAST_STAGING: .*expected s3://bucket"):
        load_settings()
