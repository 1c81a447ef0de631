"""`python -m bench.dask`: one Dask worker against two on work bound by decoding; this machine's processes beside them.

A real scheduler and workers, each a process. The same export is staged by each in turn, and every time the staged rows
must have the same digest. Without the compiled kernel (`--kernel auto` uses it) decoding is what takes the time.
"""

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from bench.command import ROOT
from bench.server import say
from hindcast.dask_pool import DaskPool
from hindcast.extract import stage_export
from hindcast.manifest import load_manifest
from hindcast.plan import Plan, Request, make_plan, save_plan
from hindcast.pool import WorkerPool, Workers
from hindcast.settings import load_settings
from hindcast.staging import read_chunk
from hindcast.synthetic import GenerateSpec, generate

sys.path.insert(0, str(ROOT / "tests"))
from dask_processes import dask_cluster


def main() -> None:
    """Stage in turns, print medians and ratios."""
    parser = argparse.ArgumentParser(prog="python -m bench.dask", description=__doc__)
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kernel", choices=["off", "auto"], default="off")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"HINDCAST_HOME": folder, "HINDCAST_KERNEL": options.kernel, "HINDCAST_SEGMENT_BYTES": "8388608"}
        export = Path(folder) / "history.jsonl"
        generate(GenerateSpec("analytics_history", options.events, 7, export))
        plan = make_plan(Request(file=str(export)), load_settings(), datetime.now(UTC))
        seconds: dict[str, list[float]] = {}
        digests = set()
        for number in range(options.rounds):
            for name in ("1 process", "1 Dask worker", "2 processes", "2 Dask workers"):
                with _workers(name, Path(folder)) as workers:
                    workers.call("hindcast.pool:WorkersStopped", "warm")
                    took, digest = _stage(plan, workers)
                seconds.setdefault(name, []).append(took)
                digests.add(digest)
                say(f"round {number + 1}: {name:15} {took:6.2f} s, digest {digest[:16]}")
    found = {name: median(times) for name, times in seconds.items()}
    say(f"Dask, two against one: {found['1 Dask worker'] / found['2 Dask workers']:.2f} times as fast")
    say(f"processes, two against one: {found['1 process'] / found['2 processes']:.2f} times as fast")
    say("digests: all equal" if len(digests) == 1 else f"digests: {len(digests)} DIFFERENT ones")


@contextmanager
def _workers(name: str, folder: Path) -> Iterator[Workers]:
    count = int(name[0])
    if "Dask" not in name:
        with WorkerPool(count) as pool:
            yield pool
        return
    place = Path(tempfile.mkdtemp(dir=folder))
    with dask_cluster(place, count) as (address, _):
        os.environ["HINDCAST_DASK_ADDRESS"] = address
        with DaskPool(load_settings()) as pool:
            while pool.threads < count:
                time.sleep(0.1)
            list(pool.map_unordered("hindcast.pool:WorkersStopped", [("warm",)] * 8))
            yield pool


def _stage(plan: Plan, workers: Workers) -> tuple[float, str]:
    folder = load_settings().staging_dir / plan.folder_name
    shutil.rmtree(folder, ignore_errors=True)
    began = time.perf_counter()
    stage_export(save_plan(plan, folder), folder, workers, lambda segment: None)
    took = time.perf_counter() - began
    digest = hashlib.sha256()
    for chunk in load_manifest(folder).chunks:
        digest.update(str(read_chunk(folder, chunk.segment, chunk.staged_as.row_group).to_pylist()).encode())
    return took, digest.hexdigest()


if __name__ == "__main__":
    main()
