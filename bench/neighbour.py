"""`python -m bench.neighbour`: what a live platform feels of a load, and what the load gives up for it.

The platform is pgbench in processes of its own: a fixed rate of lookups and inserts on `analytics_events`. Its latency
is taken alone, beside a load without the governor, and beside one with it; only transactions during the load
count. Latency is from the moment a transaction was due. Settings of yours (HINDCAST_...) apply.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psycopg

from bench.server import fresh, say
from hindcast.database import add_months, connect
from hindcast.embedded import EmbeddedServer
from hindcast.extract import stage_export
from hindcast.governor import govern
from hindcast.ledger import open_run
from hindcast.load_task import LoadTask
from hindcast.manifest import Manifest, group_chunks
from hindcast.plan import Plan, Request, make_plan, save_plan
from hindcast.pool import WorkerPool
from hindcast.settings import Settings, load_settings
from hindcast.synthetic import GenerateSpec, generate

RECORDS_A_CALL: Final = 50_000
SLICE_SECONDS: Final = 3  # pgbench writes its log when it ends
CLIENTS: Final = 4
LIVE_ROWS: Final = 200_000
SCRIPTS: Final = {
    "read.sql": (
        "\\set n random(1, 10000)\n"
        "SELECT event_id, created_at FROM neighbour_keys WHERE n = :n \\gset\n"
        "SELECT event_type, payload FROM analytics_events"
        " WHERE event_id = ':event_id' AND created_at = ':created_at';\n"
    ),
    "insert.sql": (
        "\\set n random(1, 100000)\n"
        "INSERT INTO analytics_events (event_type, user_id, payload)"
        " VALUES ('lesson_started', 'live-:n', '{\"progress\": 1}');\n"
    ),
}


def main() -> None:
    """Run the three rounds and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.neighbour", description=__doc__)
    parser.add_argument("--count", type=int, default=500_000, help="records to load")
    parser.add_argument("--rate", type=int, default=200, help="the platform's transactions a second")
    parser.add_argument("--out", type=Path, help="a JSON file for the figures")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hindcast-neighbour-") as folder:
        rounds = run_rounds(Path(folder), options.count, options.rate)
    if options.out:
        figures = {"count": options.count, "rate": options.rate, "rounds": rounds}
        options.out.write_text(json.dumps(figures, indent=1) + "\n")
    say(f"{'':<24}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'max ms':>9}{'rows/s':>10}{'decisions':>11}")
    for name, found in rounds.items():
        figures = "".join(f"{found[key]:>9.2f}" for key in ("p50", "p95", "p99", "max"))
        say(f"{name:<24}{figures}{found.get('rows_per_second') or '':>10}{found.get('decisions', ''):>11}")


def run_rounds(folder: Path, count: int, rate: int) -> dict[str, dict[str, Any]]:
    """Alone, without and with the governor; each in a database of its own. The export is staged once."""
    export = folder / "history.jsonl"
    generate(GenerateSpec("analytics_history", count, 7, export))
    for name, script in SCRIPTS.items():
        (folder / name).write_text(script)
    os.environ["HINDCAST_HOME"] = str(folder / "home")
    settings = load_settings()
    plan = make_plan(Request(file=str(export)), settings, datetime.now(UTC))
    staging = settings.staging_dir / plan.folder_name
    server = EmbeddedServer(folder / "home")
    server.start()
    try:
        with WorkerPool(settings.pool_size) as pool:
            manifest = stage_export(save_plan(plan, staging), staging, pool, lambda segment: None)
            rounds = {"alone": _run_alone(folder, server, rate)}
            for name, governor in (("load, no governor", "off"), ("load, governor", "on")):
                load = _Load(plan, staging, manifest, pool, settings.model_copy(update={"governor": governor}))
                rounds[name] = _run_beside(folder, server, rate, load)
        return rounds
    finally:
        server.stop()


@dataclass(frozen=True)
class _Load:
    """An export that is staged, and how it is to be loaded."""

    plan: Plan
    staging: Path
    manifest: Manifest
    pool: WorkerPool
    settings: Settings

    def run(self, url: str) -> dict[str, Any]:
        """Load every chunk as a backfill does; what it took, and the governor's story."""
        totals, chunks = self.manifest.totals, list(range(len(self.manifest.chunks)))
        assert totals.first_at and totals.last_at
        with connect(url, self.settings) as connection:
            run = open_run(connection, self.plan, "nb")
            add_months(connection, totals.first_at, totals.last_at)
        task = LoadTask(url, str(self.staging), run.run_id, self.plan.format, "keep", (), asks_own_ids=False)
        with govern(url, self.settings, run.run_id, self.staging) as governor:
            began = time.time()
            groups = group_chunks(self.manifest.chunks, chunks, RECORDS_A_CALL)
            calls = [(replace(task, chunks=group, pace=governor.pace_path),) for group in groups]
            counts = [c for part in self.pool.map_unordered("hindcast.load:load_chunks", calls) for c in part]
            ended = time.time()
            story = governor.summary()
        loaded = sum(count.loaded for count in counts)
        return {
            "began": began,
            "ended": ended,
            "rows_per_second": round(loaded / (ended - began)),
            "load_seconds": round(ended - began, 2),
            "governor": story,
            "decisions": story.get("decisions", 0),
        }


def _run_alone(folder: Path, server: EmbeddedServer, rate: int) -> dict[str, Any]:
    url = _settle(server, "alone")
    began = time.time()
    latencies = _Platform(folder, server, url, rate)
    for _ in range(4):
        latencies.run_slice()
    return _describe(latencies.between(began + 1, time.time()))


def _run_beside(folder: Path, server: EmbeddedServer, rate: int, load: _Load) -> dict[str, Any]:
    url = _settle(server, "beside")
    platform = _Platform(folder, server, url, rate)
    is_over = threading.Event()

    def run() -> None:
        while not is_over.is_set():
            platform.run_slice()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        found = load.run(url)
    finally:
        is_over.set()
        thread.join()
    return found | _describe(platform.between(found["began"], found["ended"]))


def _settle(server: EmbeddedServer, name: str) -> str:
    """An empty target with a past of the platform's own, vacuumed."""
    url = fresh(server, name)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO analytics_events (event_type, user_id, created_at, payload)"
            " SELECT 'lesson_started', 'live-' || n, now() - random() * interval '5 minutes', '{\"progress\": 0.5}'"
            " FROM generate_series(1, %s) AS n",
            (LIVE_ROWS,),
        )
        connection.execute(
            "CREATE TABLE neighbour_keys AS SELECT row_number() OVER () AS n, event_id, created_at"
            " FROM (SELECT event_id, created_at FROM analytics_events LIMIT 10000) AS e"
        )
        connection.execute("ALTER TABLE neighbour_keys ADD PRIMARY KEY (n)")
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
    return url


class _Platform:
    """pgbench, slice after slice."""

    def __init__(self, folder: Path, server: EmbeddedServer, url: str, rate: int) -> None:
        self._logs = Path(tempfile.mkdtemp(dir=folder))
        self._slices = 0
        scripts = ["-f", f"{folder / 'read.sql'}@4", "-f", f"{folder / 'insert.sql'}@1"]
        self._command = [
            str(server.binary("pgbench")), "-n", "-c", str(CLIENTS), "-j", "1", "-R", str(rate),
            "-T", str(SLICE_SECONDS), "-l", *scripts,
        ]  # fmt: skip
        self._url = url

    def run_slice(self) -> None:
        """Some seconds of the platform's life."""
        self._slices += 1
        prefix = f"--log-prefix={self._logs / str(self._slices)}"
        subprocess.run([*self._command, prefix, self._url], check=True, capture_output=True)

    def between(self, start: float, end: float) -> list[float]:
        """Milliseconds of each transaction that ended in between (epoch seconds)."""
        found = []
        for log in self._logs.iterdir():
            for line in log.read_text().splitlines():
                _, _, microseconds, _, second, fraction, *_ = line.split()
                if start <= int(second) + int(fraction) / 1e6 <= end:
                    found.append(int(microseconds) / 1000)
        return found


def _describe(latencies: list[float]) -> dict[str, Any]:
    if not latencies:
        sys.exit("the platform did nothing meanwhile: load more records")
    ordered = sorted(latencies)
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    figures = {name: round(ordered[int(share * (len(ordered) - 1))], 3) for name, share in shares.items()}
    return {"transactions": len(ordered), **figures, "max": ordered[-1]}


if __name__ == "__main__":
    main()
