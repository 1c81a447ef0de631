"""`make bench`: what raw `\\copy` takes, what we take, what others take, on this machine, in one run.

All on the same seeded events and the same PostgreSQL (an embedded one of its own), alternating: every round measures
everything once, each round in another order. Numbers for people; nothing here is a test. HINDCAST_... settings apply.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench import ours, peers
from bench.command import ROOT, CommandFailed, remove, some_of
from bench.figures import Taken, rotated, summarise
from bench.lab import Lab, prepare
from bench.machine import describe_machine
from bench.pieces import pieces
from bench.publish import publish
from bench.server import running_server, say
from bench.show import TITLES, render_figures

Series = Callable[[Lab], dict[str, Taken]]
# What each series measures; one is run whole or not at all.
SERIES: Final[dict[str, tuple[Series, tuple[str, ...]]]] = {
    "copy-text": (ours.copy_text, ("copy-text",)),
    "copy-binary": (ours.copy_binary, ("copy-binary",)),
    "life": (ours.life, ("backfill", "reimport", "reimport-elsewhere", "rollback-month", "rollback")),
    "dry-run": (ours.dry_run, ("dry-run",)),
    "pieces": (pieces, tuple(name for name in TITLES if name.startswith("alone-"))),
    "backfill-small": (ours.backfill_as_peers, ("backfill-small",)),
}


def main() -> None:
    """Run the rounds, print the figures, keep them."""
    options = _read_options()
    options.work.mkdir(parents=True, exist_ok=True)
    series, missing = _choose(options.only, options.peers, options.work)
    with _run_folder(options.work, options.keep) as folder, running_server(folder / "home") as server:
        machine = describe_machine(server.url("postgres"), folder)
        lab = prepare(server, folder, options.work, (options.events, options.peer_events), options.seed)
        export_bytes = lab.export.stat().st_size
        rounds = [_run_round(lab, series, number, missing) for number in range(options.rounds)]
    result = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "events": options.events,
        "peer_events": lab.peer_rows,
        "seed": options.seed,
        "rounds": options.rounds,
        "export_bytes": export_bytes,
        "machine": machine,
        "missing": missing,
        "figures": summarise(rounds),
    }
    out = options.json or ROOT / "bench" / "results" / f"{datetime.now(UTC):%Y%m%dT%H%M%S}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    say(render_figures(result))
    say(f"written to {out}")
    if options.publish:
        say("published in " + ", ".join(str(path.relative_to(ROOT)) for path in publish(result, ROOT / "docs")))


def _read_options() -> argparse.Namespace:
    names, programs = [*SERIES, *peers.PEERS], ", ".join(peers.PEERS)
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="records of the export")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured; medians are told")
    parser.add_argument("--seed", type=int, default=7, help="the same seed gives the same bytes")
    parser.add_argument("--peer-events", type=int, default=100_000, help="rows that peers load")
    parser.add_argument(
        "--peers", type=some_of(peers.PEERS), default=list(peers.PEERS), help=f"which: {programs}; or none"
    )
    parser.add_argument("--only", type=some_of(names), help=f"only these series: {', '.join(names)}")
    parser.add_argument("--json", type=Path, help="where the figures go; default bench/results/<time>.json")
    parser.add_argument(
        "--work", type=Path, default=ROOT / ".hindcast" / "bench", help="holds data and peers' programs"
    )
    parser.add_argument("--keep", action="store_true", help="leave the data of this run in the work folder")
    parser.add_argument("--publish", action="store_true", help="write docs/benchmarks.md and what it shows")
    return parser.parse_args()


def _choose(only: list[str] | None, wanted: list[str], tools: Path) -> tuple[dict[str, Series], dict[str, str]]:
    """The series to run, by name, and why peers are missing."""
    series: dict[str, Series] = {
        name: run for name, (run, measured) in SERIES.items() if only is None or name in only or {*measured} & {*only}
    }
    missing = {}
    for name in wanted if only is None else [name for name in peers.PEERS if name in only]:
        say(f"installing {name}")
        if reason := peers.install(name, tools):
            missing[name] = f"could not be installed: {reason}"
            say(f"{name}: {missing[name]}")
        else:
            series[name] = _as_series(name)
    return series, missing


def _as_series(peer: str) -> Series:
    return lambda lab: peers.measure(peer, lab)


def _run_round(lab: Lab, series: dict[str, Series], number: int, missing: dict[str, str]) -> dict[str, Taken]:
    taken: dict[str, Taken] = {}
    for name in rotated(list(series), number):
        try:
            found = series[name](lab)
        except CommandFailed as error:
            if name not in peers.PEERS:
                raise
            missing[name] = str(error)
            say(f"{name}: {error}")
            continue
        for measured, one in found.items():
            say(f"round {number + 1}: {measured:<16}{one.seconds:>9.2f} s{one.per_second:>12,.0f} events/s")
        taken |= found
    return taken


@contextmanager
def _run_folder(work: Path, is_kept: bool) -> Iterator[Path]:
    """A folder for this run's data, removed in the end unless it is to be kept."""
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=work))
    try:
        yield folder
    finally:
        if is_kept:
            say(f"kept: {folder}")
        else:
            remove(folder)


if __name__ == "__main__":
    try:
        main()
    except CommandFailed as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
