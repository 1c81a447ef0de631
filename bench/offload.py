"""`python -m bench.offload`: megabytes a second of large values put into a store, beside boto3's own upload_fileobj.

The same bytes, from the same file, to the same server, alternating in one run: as an import puts them (each object's
SHA-256 is computed, no object is ever overwritten, eight at once), and by `upload_fileobj`, eight at once and one at a
time. The server is a sink that keeps nothing, or with --server moto, moto's. Each measurement is a process of its own,
so that its peak memory is its own; one object of 10 MB and one of 1 GB tell whether memory grows with size. The last
line is a whole import, staging to verification, into a folder.
"""

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO, Final

import boto3

from bench.command import ROOT, as_object, run, run_hindcast
from bench.figures import rotated, tabulate
from bench.server import fresh, running_server, say
from hindcast.objects.content import Content, file_piece
from hindcast.objects.s3 import S3Store
from hindcast.objects.store import REQUESTS_AT_ONCE

BUCKET, MEGABYTE = "llma", 1_000_000
OURS, MANY, ONE = "hindcast, 8 at once", "upload_fileobj, 8 at once", "upload_fileobj, one at a time"
_COLUMNS: Final = {"MB/s": "mb_per_second", "slowest": "slowest", "fastest": "fastest", "peak memory, MB": "peak_mb"}
LARGE: Final = {
    f"{who}, one object of {size}": count
    for size, count in {"10 MB": 10 * MEGABYTE, "1 GB": 1_000 * MEGABYTE}.items()
    for who in ("hindcast", "upload_fileobj")
}


class _Window:
    """A part of an open file as boto3 wants one: read, seek, tell."""

    def __init__(self, file: BinaryIO, offset: int, size: int) -> None:
        self._file, self._offset, self._size, self._at = file, offset, size, 0

    def read(self, size: int = -1) -> bytes:
        left = self._size - self._at
        block = os.pread(self._file.fileno(), left if size < 0 else min(size, left), self._offset + self._at)
        self._at += len(block)
        return block

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = {0: 0, 1: self._at, 2: self._size}[whence] + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        """The file goes on being used."""


def main() -> None:
    """Measure and print a table and a JSON object."""
    parser = argparse.ArgumentParser(prog="python -m bench.offload", description=__doc__)
    parser.add_argument("--mb", type=int, default=500, help="megabytes of objects of 10 kB to 1 MB")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--server", choices=["sink", "moto"], default="sink")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)  # name and folder: a measurement, in its process
    options = parser.parse_args()
    if options.one:
        say(json.dumps(_measure(options.one[0], Path(options.one[1]))))
        return
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="hindcast-offload-") as name:
        folder = Path(name)
        _make_bodies(folder, options.mb * MEGABYTE, options.seed)
        taken: dict[str, list[dict[str, Any]]] = {}
        with _serving(options.server, folder):
            for number in range(options.rounds):
                for variant in rotated([OURS, MANY, ONE], number):
                    taken.setdefault(variant, []).append(_spawn(variant, folder))
                for variant in rotated(list(LARGE), number):
                    taken.setdefault(variant, []).append(_spawn(variant, folder))
        taken["whole import, into a folder"] = [_import(folder, options.mb, options.seed)]
    figures = {name: _summarise(found) for name, found in taken.items()}
    rows = [
        [name, *(f"{one[figure]:.0f}" for figure in _COLUMNS.values()), _compare(name, figures)]
        for name, one in figures.items()
    ]
    machine = {"cores": len(os.sched_getaffinity(0)), "load": [round(one, 1) for one in (before, os.getloadavg()[0])]}
    load = f"load {machine['load']} on {machine['cores']} cores"
    say(f"server: {options.server}, {options.rounds} rounds, medians; {load}\n")
    say(tabulate(rows, ["what", *_COLUMNS, "of upload_fileobj"]))
    told = {"server": options.server, "mb": options.mb, "rounds": options.rounds, "machine": machine}
    say("\n" + json.dumps(told | {"figures": figures}, indent=1))


def _compare(name: str, figures: dict[str, dict[str, float]]) -> str:
    """How many times as fast as upload_fileobj with the same objects, eight at once where there are many."""
    peer = {OURS: MANY, ONE: MANY}.get(name) or name.replace("hindcast", "upload_fileobj")
    return f"{figures[name]['mb_per_second'] / figures[peer]['mb_per_second']:.2f}" if peer != name else ""


def _summarise(found: list[dict[str, Any]]) -> dict[str, float]:
    speeds = [one["mb_per_second"] for one in found]
    medians = {name: statistics.median(one[name] for one in found) for name in found[0]}
    rounded = medians | {"slowest": min(speeds), "fastest": max(speeds)}
    return {name: round(figure, 1) for name, figure in rounded.items()}


def _make_bodies(folder: Path, size: int, seed: int) -> None:
    drawn, sizes, total = random.Random(seed), [], 0
    while total < size:
        sizes.append(int(10_000 * 100 ** drawn.random()))
        total += sizes[-1]
    with (folder / "bodies").open("wb") as file:
        for one in [*sizes, max(LARGE.values()) - total]:
            for start in range(0, one, MEGABYTE):
                file.write(drawn.randbytes(min(MEGABYTE, one - start)))
    (folder / "sizes.json").write_text(json.dumps(sizes))


def _measure(name: str, folder: Path) -> dict[str, float]:
    sizes = [LARGE[name]] if name in LARGE else json.loads((folder / "sizes.json").read_text())
    offsets = [0, *accumulate(sizes)][:-1]
    with (folder / "bodies").open("rb", buffering=0) as file:
        put = _put_by_boto3(file) if name.startswith("upload_fileobj") else _put_by_store(file)
        put(0, 0, 1)  # connections and imports are made
        began = time.perf_counter()
        with ThreadPoolExecutor(1 if name == ONE else REQUESTS_AT_ONCE) as pool:
            list(pool.map(put, range(1, len(sizes) + 1), offsets, sizes))
        seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return {"mb_per_second": sum(sizes) / MEGABYTE / seconds, "peak_mb": peak}


def _put_by_store(file: Any) -> Callable[[int, int, int], object]:
    store = S3Store(BUCKET)
    run = f"{time.time_ns()}"
    about = {"team": "t", "event": "e"}
    return lambda number, offset, size: store.put(
        f"llma/t/{run}-{number}", Content([file_piece(file, offset, size)]), "multipart/mixed; boundary=b", about
    )


def _put_by_boto3(file: Any) -> Callable[[int, int, int], object]:
    client = boto3.client("s3")
    run = f"{time.time_ns()}"
    return lambda number, offset, size: client.upload_fileobj(
        _Window(file, offset, size), BUCKET, f"other/{run}-{number}"
    )


def _spawn(name: str, folder: Path) -> dict[str, Any]:
    return as_object(
        run([sys.executable, "-m", "bench.offload", "--one", name, folder], {"PYTHONPATH": str(ROOT)}).stdout
    )


def _import(folder: Path, megabytes: int, seed: int) -> dict[str, float]:
    export, home = folder / "llm.jsonl", folder / "home"
    count = max(megabytes * MEGABYTE // 130_000, 1)  # events of about so many bytes
    sizes = ["--blobs", "1", "5", "--blob-bytes", "5000", "150000"]
    run_hindcast(
        ["generate", "llm_analytics", "--count", str(count), "--seed", str(seed), *sizes, "--out", export], None, home
    )
    os.environ |= {"HINDCAST_OBJECT_STORE": "local", "LLMA_S3_BUCKET": ""}
    with running_server(folder / "postgres") as server:
        ran = run_hindcast(["backfill", "-f", export, "--json"], fresh(server, "offload"), home)
    seconds = as_object(ran.stdout)["seconds"]
    return {"mb_per_second": export.stat().st_size / MEGABYTE / seconds, "peak_mb": ran.memory["together"]}


@contextmanager
def _serving(kind: str, folder: Path) -> Iterator[None]:
    port_file = folder / "port"
    if kind == "sink":
        process = subprocess.Popen([sys.executable, "-m", "bench.s3_sink", str(port_file)], cwd=ROOT)
        while not port_file.exists() or not port_file.read_text():
            time.sleep(0.05)
        port = port_file.read_text()
    else:
        from hindcast.sockets import find_free_port

        port = str(find_free_port())
        command = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", port]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(5)
    os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
    os.environ |= {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_DEFAULT_REGION": "us-east-1"}
    try:
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
