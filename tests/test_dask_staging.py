"""Workers of Dask without a shared folder: each has a disk of its own, and S3 is what they share."""

import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dask_processes import dask_cluster, dask_worker
from loading import load, query

from hindcast.dask_pool import DaskPool
from hindcast.errors import ConfigurationError
from hindcast.extract import stage_export
from hindcast.manifest import load_manifest
from hindcast.plan import Request, make_plan, save_plan
from hindcast.settings import load_settings
from hindcast.staging import Segment, read_chunk
from hindcast.synthetic import GenerateSpec, generate
from hindcast.verify import sum_proofs

pytest_plugins = ["loading_fixtures", "objects_fixtures"]
pytestmark = [
    # Dask's own, when a cluster goes away under it.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ROWS = "SELECT event_id, payload, export_line FROM analytics_events ORDER BY event_id"
DIGESTS = "SELECT chunk_number, digest, loaded FROM import_chunks ORDER BY 1"


def facts_of(folder: Path) -> list[Any]:
    manifest = load_manifest(folder)
    found = [read_chunk(folder, chunk.segment, chunk.staged_as.row_group).to_pylist() for chunk in manifest.chunks]
    return [manifest.seal, manifest.totals, found]


def test_workers_with_disks_of_their_own_import_what_one_host_imports_though_one_is_killed(
    target: str, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "history.jsonl"
    generate(GenerateSpec("analytics_history", 2_000, 4, file))
    monkeypatch.setenv("HINDCAST_SEGMENT_BYTES", "262144")
    begun = load(target, file, chunk=500)
    here, rows, digests = facts_of(begun.folder), query(target, ROWS), query(target, DIGESTS)
    query(target, "TRUNCATE analytics_events; DELETE FROM import_conflicts; DELETE FROM import_chunks")

    monkeypatch.setenv("HINDCAST_STAGING", f"s3://{bucket}/staged")
    monkeypatch.setenv("HINDCAST_HOME", str(tmp_path / "flow"))
    homes = [{"HINDCAST_HOME": str(tmp_path / f"home-{number}")} for number in range(3)]
    with (
        dask_cluster(tmp_path, 0) as (address, _),
        dask_worker(tmp_path, "first", address, **homes[0]) as first,
        dask_worker(tmp_path, "second", address, **homes[1]),
    ):
        monkeypatch.setenv("HINDCAST_DASK_ADDRESS", address)
        with monkeypatch.context() as other:
            other.setenv("HINDCAST_STAGING", f"s3://{bucket}/elsewhere")
            with pytest.raises(ConfigurationError, match=r"has HINDCAST_STAGING 's3://.*: set the same on every host"):
                DaskPool(load_settings())
        with (
            DaskPool(load_settings()) as pool,
            pytest.raises(ConfigurationError, match=r"Dask worker tcp://.* holds no"),
        ):
            pool.require_export(load_settings().staging_dir / "never-staged")
        with DaskPool(load_settings()) as pool:
            pool._client.wait_for_workers(2, timeout=20)
            plan = make_plan(Request(str(file), chunk=500), load_settings(), begun.plan.latest)
            folder = load_settings().staging_dir / plan.folder_name
            plan = save_plan(plan, folder)
            pool.require_export(folder)

            def kill_first(segment: Segment) -> None:
                first.send_signal(signal.SIGKILL)

            stage_export(plan, folder, pool, kill_first)
            first.wait(timeout=10)
            assert facts_of(folder) == here
            with dask_worker(tmp_path, "third", address, **homes[2]):
                pool._client.wait_for_workers(2, timeout=20)
                tasks = [(replace(begun.task(c.number), folder=str(folder)),) for c in begun.manifest.chunks]
                list(pool.map_unordered("hindcast.load:load_chunks", tasks))
                assert (query(target, ROWS), query(target, DIGESTS)) == (rows, digests)
                proofs = [p for found in pool.map_unordered("hindcast.verify:verify_chunks", tasks) for p in found]
                assert sum_proofs(begun.manifest, proofs).status == "passed"
    copies = [Path(home["HINDCAST_HOME"]) / "staging" / folder.name for home in homes]
    assert all((copy / "plan.json").exists() for copy in copies) and list(copies[2].glob("segment-*.arrow"))
