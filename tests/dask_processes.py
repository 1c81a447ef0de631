"""A real Dask scheduler and workers, each a process of its own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent


@contextmanager
def dask_cluster(folder: Path, workers: int, **environment: str) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler's address and its workers' processes; all are ended afterwards."""
    told = folder / "scheduler.json"
    with ExitStack() as stack:
        scheduler = ["dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file"]
        stack.enter_context(_process([*scheduler, str(told)], folder / "scheduler.log", environment))
        deadline = time.monotonic() + 60
        while not (told.exists() and told.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.05)
        address = json.loads(told.read_text())["address"]
        yield (
            address,
            [
                stack.enter_context(dask_worker(folder, f"worker-{number}", address, **environment))
                for number in range(workers)
            ],
        )


@contextmanager
def dask_worker(folder: Path, name: str, address: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker's process, ended afterwards; it may join a cluster that is at work."""
    command = ["dask_worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1"]
    command += ["--memory-limit", "0", "--local-directory", str(folder)]
    with _process(command, folder / f"{name}.log", environment) as process:
        yield process


@contextmanager
def _process(command: list[str], log: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{command[0]}", *command[1:]],
            stdout=output,
            stderr=output,
            env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"} | environment,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
