"""Beyond one machine: a real Dask scheduler and workers do what this machine's processes do."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dask_processes import dask_cluster, dask_worker
from loading import load, make_event, query, stage, write_export

from hindcast.dask_pool import DaskPool
from hindcast.errors import ConfigurationError, GateError
from hindcast.extract import stage_export
from hindcast.manifest import load_manifest
from hindcast.plan import load_plan
from hindcast.pool import WorkersStopped
from hindcast.settings import load_settings
from hindcast.staging import read_chunk
from hindcast.synthetic import GenerateSpec, generate
from hindcast.verify import sum_proofs

pytest_plugins = ["loading_fixtures"]
pytestmark = [
    # Dask's own, when a cluster goes away under it.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[Any]]]:
    with dask_cluster(tmp_path_factory.mktemp("dask"), 2) as found:
        yield found


@pytest.fixture
def pool(cluster: tuple[str, list[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DaskPool]:
    monkeypatch.setenv("HINDCAST_DASK_ADDRESS", cluster[0])
    monkeypatch.setenv("HINDCAST_HOME", str(tmp_path / "shared"))
    monkeypatch.setenv("HINDCAST_SEGMENT_BYTES", "65536")
    with DaskPool(load_settings()) as found:
        yield found


def fail(number: int) -> int:
    """Refuse the third call; runs in a worker of Dask."""
    if number == 3:
        raise GateError(f"call {number} is refused")
    return number


def tell_process(seconds: float) -> int:
    """Take that long, and tell who did."""
    time.sleep(seconds)
    return os.getpid()


def begin_call(folder: str, number: int) -> None:
    """Take a second, and leave a file that says how far it came; the first call is refused."""
    if number == 0:
        raise GateError("call 0 is refused")
    began = Path(folder) / f"{number}-began"
    began.touch()
    time.sleep(1)
    began.rename(began.with_name(f"{number}-ended"))


def call_quietly(pool: DaskPool) -> None:
    with contextlib.suppress(WorkersStopped):
        pool.call("test_dask_pool:tell_process", 0.5)


def rows_of(folder: Path) -> list[Any]:
    manifest = load_manifest(folder)
    found = [read_chunk(folder, chunk.segment, chunk.staged_as.row_group).to_pylist() for chunk in manifest.chunks]
    return [manifest.seal, manifest.totals, found]


def test_calls_are_done_by_all_workers_and_errors_raised_as_they_are(pool: DaskPool) -> None:
    assert pool.call("test_dask_pool:fail", 7) == 7
    found = set(pool.map_unordered("test_dask_pool:tell_process", [(0.05,)] * 12))
    assert len(found) == 2 and os.getpid() not in found
    with pytest.raises(GateError, match="call 3 is refused"):
        list(pool.map_unordered("test_dask_pool:fail", ((n,) for n in range(6))))
    assert pool.call("test_dask_pool:fail", 8) == 8
    began = time.monotonic()
    waiting = threading.Thread(target=call_quietly, args=(pool,))
    waiting.start()
    time.sleep(0.1)
    pool.stop()
    assert time.monotonic() - began > 0.4  # what was under way is over
    waiting.join(timeout=10)
    with pytest.raises(WorkersStopped):
        pool.call("test_dask_pool:fail", 1)


def test_an_import_by_the_cluster_is_the_one_made_here(pool: DaskPool, target: str, tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    generate(GenerateSpec("analytics_history", 3_000, 4, file))
    begun = load(target, file, chunk=500)
    table = "SELECT event_id, payload, export_line FROM analytics_events ORDER BY event_id"
    here, rows = rows_of(begun.folder), query(target, table)
    digests = query(target, "SELECT chunk_number, digest, loaded FROM import_chunks ORDER BY 1")
    for path in begun.folder.glob("*"):
        if path.name != "plan.json":
            path.unlink()
    stage_export(load_plan(begun.folder), begun.folder, pool, lambda segment: None)
    assert rows_of(begun.folder) == here
    query(target, "TRUNCATE analytics_events; DELETE FROM import_conflicts; DELETE FROM import_chunks")
    tasks = [(begun.task(chunk.number),) for chunk in begun.manifest.chunks]
    list(pool.map_unordered("hindcast.load:load_chunks", tasks))
    assert query(target, table) == rows
    assert query(target, "SELECT chunk_number, digest, loaded FROM import_chunks ORDER BY 1") == digests
    proofs = [proof for found in pool.map_unordered("hindcast.verify:verify_chunks", tasks) for proof in found]
    assert sum_proofs(begun.manifest, proofs).status == "passed"


def test_a_worker_killed_in_the_middle_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pool: DaskPool
) -> None:
    file = tmp_path / "history.jsonl"
    generate(GenerateSpec("analytics_history", 6_000, 4, file))
    _, folder, _ = stage(file)
    expected = rows_of(folder)
    for path in folder.glob("*"):
        if path.name != "plan.json":
            path.unlink()
    (tmp_path / "dask").mkdir()
    with dask_cluster(tmp_path / "dask", 2, HINDCAST_KERNEL="off") as (address, workers):
        monkeypatch.setenv("HINDCAST_DASK_ADDRESS", address)
        with DaskPool(load_settings()) as other:
            list(other.map_unordered("test_dask_pool:tell_process", [(0.05,)] * 4))
            threading.Timer(0.1, workers[0].send_signal, (signal.SIGKILL,)).start()
            stage_export(load_plan(folder), folder, other, lambda segment: None)
            workers[0].wait(timeout=10)
            assert rows_of(folder) == expected


def test_an_export_that_workers_do_not_see_as_it_is_here_is_told_with_its_path(pool: DaskPool, tmp_path: Path) -> None:
    file = write_export(tmp_path / "history.jsonl", map(make_event, range(9)))
    _, folder, _ = stage(file)
    pool.require_export(folder)
    with file.open("a") as more:  # as if their folder held another file of that name
        more.write("{}\n")
    with pytest.raises(ConfigurationError, match=r"Dask worker tcp://.* sees .*/history\.jsonl with .* bytes, not"):
        pool.require_export(folder)
    file.unlink()
    with pytest.raises(ConfigurationError, match=r"does not see the export's .*/history\.jsonl .*: put .* s3://"):
        pool.require_export(folder)


def test_an_export_that_moved_is_read_where_it_is_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HINDCAST_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    plan, folder, _ = stage(write_export(Path("history.jsonl"), map(make_event, range(9))))
    Path("elsewhere").mkdir()
    moved, same_folder, _ = stage(Path("history.jsonl").rename("elsewhere/history.jsonl"))
    assert (same_folder, moved.latest) == (folder, plan.latest)
    assert [part.location for part in load_plan(folder).parts] == [str(tmp_path / "elsewhere" / "history.jsonl")]


def test_no_scheduler_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HINDCAST_DASK_ADDRESS", "tcp://127.0.0.1:9")
    monkeypatch.setattr("hindcast.dask_pool._WAIT_SECONDS", 1)
    with pytest.raises(ConfigurationError, match="no scheduler with workers answers"):
        DaskPool(load_settings())


def test_workers_with_another_secret_are_refused(
    cluster: tuple[str, list[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HINDCAST_DASK_ADDRESS", cluster[0])
    monkeypatch.setenv("HINDCAST_HOME", str(tmp_path))
    monkeypatch.setenv("HINDCAST_PII_SECRET", "only here")
    with pytest.raises(ConfigurationError, match="another HINDCAST_PII_SECRET"):
        DaskPool(load_settings())


def test_a_worker_that_comes_later_and_differs_is_sent_away_and_its_calls_go_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HINDCAST_HOME", str(tmp_path / "shared"))
    with dask_cluster(tmp_path, 1) as (address, (first,)):
        monkeypatch.setenv("HINDCAST_DASK_ADDRESS", address)
        with DaskPool(load_settings()) as pool:
            here = pool.call("test_dask_pool:tell_process", 0)
            with dask_worker(tmp_path, "late", address, HINDCAST_PII_SECRET="another") as late:
                calls = ((0.02,) for _ in range(2_000) if late.poll() is None)
                assert set(pool.map_unordered("test_dask_pool:tell_process", calls)) == {here}
                assert late.wait(timeout=10) == 0
            assert "has another HINDCAST_PII_SECRET (or none) in its environment; it is sent away" in caplog.text
            with dask_worker(tmp_path, "later", address, HINDCAST_MAX_MEMBER_BYTES="5") as later:
                pool._client.wait_for_workers(2, timeout=20)
                first.kill()
                with pytest.raises(ConfigurationError, match="has another HINDCAST_MAX_DECOMPRESSION_RATIO or"):
                    pool.call("test_dask_pool:tell_process", 0)
                later.wait(timeout=10)


def test_after_an_error_what_was_handed_out_is_not_begun_and_not_waited_for(pool: DaskPool, tmp_path: Path) -> None:
    (tmp_path / "began").mkdir()
    calls = [(str(tmp_path / "began"), number) for number in range(8)]
    with pytest.raises(GateError, match="call 0 is refused"):
        list(pool.map_unordered("test_dask_pool:begin_call", calls))
    assert not pool._running
    began = time.monotonic()
    pool.stop()
    assert time.monotonic() - began < 5  # one call of a second may be under way, and is waited for
    found = sorted(path.name for path in (tmp_path / "began").iterdir())
    assert len(found) < 8 and all(name.endswith("-ended") for name in found)


def test_workers_that_do_not_see_the_staged_chunks_are_refused(
    cluster: tuple[str, list[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HINDCAST_DASK_ADDRESS", cluster[0])
    monkeypatch.setenv("HINDCAST_HOME", str(tmp_path))
    monkeypatch.setattr(Path, "touch", lambda self: None)  # as if it were another disk
    monkeypatch.setattr(Path, "unlink", lambda self, missing_ok=False: None)
    with pytest.raises(ConfigurationError, match="does not see"):
        DaskPool(load_settings())
