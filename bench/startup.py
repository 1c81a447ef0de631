"""`python -m bench.startup`: where the seconds before the first byte and after the last one go, by cause.

Runs a small backfill some times in a home that was used before, and tells the medians: with Prefect's server started by
each command (first), and with the one that the last command left (next). `--tree` runs the command of another checkout,
such as an older one, in turn with this one's.
"""

import argparse
import collections
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.command import ROOT, run
from bench.figures import tabulate
from bench.server import empty, running_server, say
from hindcast.synthetic import GenerateSpec, generate

# From one mark to the next, in the order in which they come.
PHASES: Final = (
    ("command imported", "interpreter, command line"),
    ("server spawned", "settings; Prefect's server told to start"),
    ("prefect imported", "import: Prefect"),
    ("flow imported", "import: ours, Arrow, SQLAlchemy, psycopg"),
    ("server ready", "waiting for Prefect's server"),
    ("flow begins", "Prefect: flow run created"),
    ("first byte", "database: found, schema checked, preflight"),
    ("verified", "THE WORK, first byte to verified"),
    ("measured", "dashboard queries, sizes"),
    ("flow ends", "report written and published, run closed"),
    ("flow closed", "Prefect: flow run closed, report shown"),
    ("server stopped", "Prefect's server stopped"),
    ("exit", "interpreter ended"),
)
WORK: Final = "verified"


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.startup", description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="records of the backfill")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tree", type=Path, action="append", default=[], help="another checkout, to compare with")
    options = parser.parse_args()
    ways = [*((str(tree), tree.resolve(), 0) for tree in options.tree), ("first", ROOT, 0), ("next", ROOT, 10)]
    taken: dict[str, list[dict[str, float]]] = {name: [] for name, *_ in ways}
    helps: dict[str, list[float]] = {name: [] for name, *_ in ways}
    with tempfile.TemporaryDirectory(prefix="hindcast-startup-") as scratch, running_server(Path(scratch)) as server:
        folder = Path(scratch)
        export = folder / "history.jsonl"
        generate(GenerateSpec("analytics_history", options.count, 7, export))
        for number in range(options.rounds + 1):
            for index, (name, tree, minutes) in enumerate(ways):
                helps[name].append(_time_help(tree))
                url = empty(server, f"start{index}")
                _migrate(tree, folder / f"home-{index}", url)
                found = _run(tree, folder / f"home-{index}", export, url, minutes)
                if number:  # the first makes the home and its Prefect database
                    taken[name].append(found)
    say(render([name for name, *_ in ways], [taken[name] for name, *_ in ways]))
    for name, *_ in ways:
        say(f"{name}: hindcast --help {statistics.median(helps[name]):.2f} s")
    say("\nSeconds of import by package (with -X importtime, which adds some):\n\n" + render_imports())


def read_phases(marks: Sequence[tuple[float, str]], began: float, ended: float) -> dict[str, float]:
    """Seconds of each phase; one whose mark is missing is part of the next. Great Expectations' own are aside."""
    first: dict[str, float] = {}
    for at, name in marks:
        first.setdefault(name, at)
    first["exit"] = ended
    seconds, last = {}, began
    for name, _ in PHASES:
        if name in first:
            seconds[name], last = first[name] - last, first[name]
    if "gx imported" in first:
        seconds["gx"] = first["gx imported"] - first["great_expectations begins"]
    return seconds


def render(heads: Sequence[str], taken: Sequence[Sequence[dict[str, float]]]) -> str:
    """The medians as a table, a column a tree."""

    def median(runs: Sequence[dict[str, float]], names: Sequence[str]) -> str:
        return f"{statistics.median(sum(run.get(name, 0.0) for name in names) for run in runs):.2f}"

    names = [name for name, _ in PHASES]
    before, after = names[: names.index(WORK)], names[names.index(WORK) + 1 :]
    rows = [[title, *(median(runs, [name]) for runs in taken)] for name, title in PHASES]
    rows.append(["**command to first byte**", *(median(runs, before) for runs in taken)])
    rows.append(["**verified to exit**", *(median(runs, after) for runs in taken)])
    rows.append(["aside: import of Great Expectations", *(median(runs, ["gx"]) for runs in taken)])
    return tabulate(rows, ["seconds", *heads])


def render_imports() -> str:
    """The packages whose own modules take the most time of the main process's imports."""
    code = "import flows.backfill; from expectations.engine import load_great_expectations as load; load()"
    with tempfile.TemporaryDirectory() as home:
        ran = run(
            [sys.executable, "-W", "ignore", "-X", "importtime", "-c", code],
            _environment(ROOT, Path(home)) | {"PREFECT_HOME": home, "PREFECT_API_URL": "http://127.0.0.1:1/api"},
        )
    seconds = sum_imports([line for _, line in ran.lines])
    largest = sorted(seconds, key=lambda package: -seconds[package])[:12]
    return tabulate([[package, f"{seconds[package]:.2f}"] for package in largest], ["package", "seconds"])


def sum_imports(lines: Sequence[str]) -> dict[str, float]:
    """Seconds that each top-level package's modules took themselves, from the lines of -X importtime."""
    found: dict[str, float] = collections.defaultdict(float)
    for line in lines:
        head, _, rest = line.partition(":")
        own, _, name = rest.partition("|")
        if head == "import time" and own.strip().isdigit():
            found[name.rpartition("|")[2].strip().partition(".")[0]] += int(own) / 1e6
    return dict(found)


def _run(tree: Path, home: Path, export: Path, url: str, minutes: int) -> dict[str, float]:
    marks = home.parent / "marks"
    marks.unlink(missing_ok=True)
    command = [sys.executable, ROOT / "bench" / "startup_probe.py", marks, "backfill", "-f", export, "--json"]
    began = time.time()
    settings = {"DATABASE_URL": url, "HINDCAST_PREFECT_MINUTES": str(minutes)}
    run(command, _environment(tree, home) | settings, tree)
    ended = time.time()
    lines = [line.split("\t") for line in marks.read_text().splitlines()]
    return read_phases([(float(at), name) for at, name in lines], began, ended)


def _migrate(tree: Path, home: Path, url: str) -> None:
    """By that tree's own command: another may know another schema."""
    command = [sys.executable, "-m", "flows.cli", "db", "migrate"]
    run(command, _environment(tree, home) | {"DATABASE_URL": url, "HINDCAST_PREFECT_MINUTES": "0"}, tree)


def _time_help(tree: Path) -> float:
    began = time.perf_counter()
    command = [sys.executable, "-m", "flows.cli", "--help"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=tree, env=os.environ | _environment(tree))
    return time.perf_counter() - began


def _environment(tree: Path, home: Path | None = None) -> dict[str, str]:
    return {"PYTHONPATH": str(tree)} | ({"HINDCAST_HOME": str(home)} if home else {})


if __name__ == "__main__":
    main()
