"""`make bench`: raw `\\copy` of ready rows beside a whole backfill of the same events, alternating, in one run.

Both go into the same empty table: keys, indexes and monthly partitions in place. The backfill has every guarantee
on: gates, ledger, rollups, verification. Prints medians and ratios; writes them
with the machine's facts to a JSON file.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from hindcast.database import add_months, migrate
from hindcast.embedded import EmbeddedServer
from hindcast.synthetic import GenerateSpec, generate


def main() -> None:
    """Run the rounds and print what they took."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="events")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each, alternating")
    parser.add_argument("--out", type=Path, default=Path("bench/results.json"), help="where the figures go")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hindcast-bench-") as folder:
        rounds = run_rounds(Path(folder), options.count, options.rounds)
    copies, backfills = ([r[name] for r in rounds] for name in ("copy", "backfill"))
    figures = {
        "events": options.count,
        "rounds": rounds,
        "copy_seconds": statistics.median(copies),
        "backfill_seconds": statistics.median(b["seconds"] for b in backfills),
        "machine": {"cores": os.cpu_count(), "processor": platform.processor(), "python": platform.python_version()},
    }
    figures["ratio"] = round(figures["copy_seconds"] / figures["backfill_seconds"], 3)
    options.out.write_text(json.dumps(figures, indent=1) + "\n")
    copied, whole = figures["copy_seconds"], figures["backfill_seconds"]
    say(f"medians: \\copy {copied:.2f} s, backfill {whole:.2f} s, ratio {figures['ratio']}")


def run_rounds(folder: Path, count: int, rounds: int) -> list[dict[str, Any]]:
    """Alternate `\\copy` and backfill; every round starts with empty databases."""
    export = folder / "history.jsonl"
    generate(GenerateSpec("analytics_history", count, 7, export))
    server = EmbeddedServer(folder / "home")
    server.start()
    try:
        ready = folder / "rows.txt"
        backfill(export, fresh(server, "first"), folder)
        psql(server, "first", f"\\copy (TABLE analytics_events) TO '{ready}'")
        results = []
        for number in range(1, rounds + 1):
            fresh(server, "raw", with_months_of="first")
            began = time.perf_counter()
            psql(server, "raw", f"\\copy analytics_events FROM '{ready}'")
            copied = round(time.perf_counter() - began, 3)
            report = backfill(export, fresh(server, "whole"), folder)
            say(f"round {number}: copy {copied} s; backfill {report['seconds']} s {report['timings']}")
            kept = {name: report[name] for name in ("seconds", "startup_seconds", "timings", "loaded", "status")}
            results.append({"copy": copied, "backfill": kept})
        return results
    finally:
        server.stop()


def fresh(server: EmbeddedServer, name: str, with_months_of: str | None = None) -> str:
    """Make an empty database with our schema; returns its URL."""
    psql(server, "postgres", f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    psql(server, "postgres", f"CREATE DATABASE {name}")
    psql(server, "postgres", "CHECKPOINT")
    migrate(server.url(name))
    if with_months_of:
        import psycopg

        with psycopg.connect(server.url(with_months_of)) as other:
            row = other.execute("SELECT min(created_at), max(created_at) FROM analytics_events").fetchone()
        assert row
        with psycopg.connect(server.url(name)) as connection:
            add_months(connection, row[0], row[1])
    return server.url(name)


def backfill(export: Path, url: str, folder: Path) -> dict[str, Any]:
    """Run the command as a user does, staging afresh, and return its report."""
    home = Path(tempfile.mkdtemp(dir=folder))
    environment = os.environ | {"HINDCAST_HOME": str(home), "DATABASE_URL": url}
    command = [str(Path(sys.executable).parent / "hindcast"), "backfill", "-f", str(export), "--json"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def psql(server: EmbeddedServer, database: str, command: str) -> None:
    """Run one psql command."""
    subprocess.run(
        [str(server.binary("psql")), server.url(database), "-qXc", command], check=True, stdout=subprocess.DEVNULL
    )


def say(line: str) -> None:
    """Print, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
