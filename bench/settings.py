"""`python -m bench.settings`: which settings move the speed on this machine.

The same backfill with one setting changed at a time, alternating; seconds are as in the report.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from bench.command import as_object, remove, run_hindcast, some_of
from bench.far import seen_from_afar
from bench.figures import Taken, rotated, summarise, tabulate
from bench.server import fresh, running_server, say
from hindcast.embedded import EmbeddedServer
from hindcast.synthetic import GenerateSpec, generate

# What is changed: settings of ours, and (lower case) of the target's sessions.
VARIANTS: Final[dict[str, dict[str, str]]] = {
    "as it comes": {},
    "HINDCAST_WORKERS=1": {"HINDCAST_WORKERS": "1"},
    "HINDCAST_WORKERS=4": {"HINDCAST_WORKERS": "4"},
    "ANALYTICS_IMPORT_POOL_SIZE=1": {"ANALYTICS_IMPORT_POOL_SIZE": "1"},
    "ANALYTICS_IMPORT_POOL_SIZE=4": {"ANALYTICS_IMPORT_POOL_SIZE": "4"},
    "ANALYTICS_IMPORT_CHUNK_SIZE=1000": {"ANALYTICS_IMPORT_CHUNK_SIZE": "1000"},
    "ANALYTICS_IMPORT_CHUNK_SIZE=50000": {"ANALYTICS_IMPORT_CHUNK_SIZE": "50000"},
    "HINDCAST_SEGMENT_BYTES=8388608": {"HINDCAST_SEGMENT_BYTES": "8388608"},
    "HINDCAST_GATE_BATCH_ROWS=25000": {"HINDCAST_GATE_BATCH_ROWS": "25000"},
    "HINDCAST_GOVERNOR=off": {"HINDCAST_GOVERNOR": "off"},
    "HINDCAST_SPOT_CHECKS=0": {"HINDCAST_SPOT_CHECKS": "0"},
    "HINDCAST_KERNEL=off": {"HINDCAST_KERNEL": "off"},
    "synchronous_commit=off": {"synchronous_commit": "off"},
    "a time index in the table": {"index": "created_at"},
}
_STEPS: Final = ("extract", "gate", "load", "rollup", "verify")


def main() -> None:
    """Run every variant once a round and print the medians."""
    parser = argparse.ArgumentParser(prog="python -m bench.settings", description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--only", type=some_of(VARIANTS), default=list(VARIANTS), help="variants, compared with the first: a,b,..."
    )
    parser.add_argument("--journey", type=float, default=0, help="milliseconds to the database and back")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hindcast-settings-") as name, running_server(Path(name)) as server:
        export = Path(name) / "history.jsonl"
        generate(GenerateSpec("analytics_history", options.events, 7, export))
        home = Path(name) / "home"
        _run(server, export, home, {}, 0)  # the first makes Prefect's database
        rounds = []
        for number in range(options.rounds):
            order = rotated(options.only, number)
            rounds.append({name: _run(server, export, home, VARIANTS[name], options.journey) for name in order})
    figures = summarise(rounds)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    say(render({variant: figures[variant] for variant in options.only}))


def render(figures: dict[str, dict[str, Any]]) -> str:
    """Seconds of the whole and of its steps, and the whole as a share of the first row's."""
    base = next(iter(figures.values()))["seconds"]
    rows = []
    for variant, row in figures.items():
        steps = [f"{row['details']['steps'].get(step, 0):.2f}" for step in _STEPS]
        rows.append([f"`{variant}`", f"{row['seconds']:.2f}", f"{row['seconds'] / base:.2f}", *steps])
    return tabulate(rows, ["", "seconds", "of the first", *_STEPS])


def _run(server: EmbeddedServer, export: Path, home: Path, variant: dict[str, str], journey: float) -> Taken:
    url = fresh(server, "variant")
    with psycopg.connect(url, autocommit=True) as connection:
        if "synchronous_commit" in variant:
            connection.execute("ALTER DATABASE variant SET synchronous_commit = off")
        if "index" in variant:
            column = sql.Identifier(variant["index"])
            connection.execute(sql.SQL("CREATE INDEX ON analytics_events ({})").format(column))
    ours = {name: value for name, value in variant.items() if name.isupper()}
    before = {name: os.environ.pop(name, None) for name in ours}
    os.environ.update(ours)
    try:
        with seen_from_afar(url, journey) as target:
            report = as_object(run_hindcast(["backfill", "-f", export, "--json"], target, home).stdout)
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
        remove(home / "staging")
    return Taken(report["seconds"], report["lines"], {"steps": report["timings"]})


if __name__ == "__main__":
    main()
