"""`python -m bench.killed_llm`: an import of LLM events and the capture endpoint, killed at random; what is left.

In each round `hindcast backfill` loads an export with large values while clients send such events to `hindcast
capture`; both get SIGKILL at a random moment, half of the imports in their load. Then: every event has its objects and
every answered event is there; a sweep leaves no object without its event; the import, run again, ends with the rows and
bytes of one that nobody disturbed. Ends with 1 at the first violation, and says what was found.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, LiteralString

import psycopg

from bench.command import run_hindcast
from bench.llm_checks import (
    Values,
    Violation,
    check_nothing_else,
    check_references,
    digest_events,
    digest_objects,
    read_values,
)
from bench.llm_clients import Client
from bench.server import fresh, running_server, say
from bench.victims import kill_family, serving_s3, start_hindcast
from hindcast.embedded import EmbeddedServer
from hindcast.objects.local import LocalStore
from hindcast.objects.s3 import S3Store
from hindcast.objects.store import ObjectStore
from hindcast.sockets import find_free_port

BUCKET, TOKEN, TEAM = "llma", "phc_killed", "default"
CLIENTS: Final = 4
CHUNKS: Final = ("--chunk", "50")  # many, so that kills fall between them

_EVENTS: Final = "SELECT count(*) FROM analytics_events WHERE tenant"
_PENDING: Final = "SELECT count(*) FROM llm_objects WHERE state = 'pending' AND team"
_SESSIONS: Final = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@dataclass
class Round:
    """What was killed when (seconds), and what was found."""

    number: int
    aimed: bool
    import_killed_at: float = 0.0
    capture_killed_at: float = 0.0
    loaded: int = 0
    answered: int = 0
    unanswered: int = 0
    pending: int = 0
    pending_live: int = 0
    ranges: int = 0
    megabytes: float = 0.0
    status: str = ""


@dataclass
class Series:
    """The export, and what an import of it that nobody disturbs gives."""

    server: EmbeddedServer
    folder: Path
    store_kind: str
    export: Path
    values: Values
    seconds: float = 0.0
    load_seconds: float = 0.0
    events: int = 0
    rows: str = ""
    objects: str = ""
    rounds: list[Round] = field(default_factory=list)

    def home(self, name: str) -> Path:
        return self.folder / f"home-{name}"

    def store(self, name: str) -> ObjectStore:
        """The round's store, empty."""
        if self.store_kind == "local":
            return LocalStore(self.home(name) / "objects", BUCKET)
        store = S3Store(BUCKET)
        for found in list(store.list()):
            store.delete(found.key)
        return store


def main() -> None:
    """Run the rounds; print a table and a JSON object."""
    parser = argparse.ArgumentParser(prog="python -m bench.killed_llm", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--store", choices=["local", "s3"], default="local")
    parser.add_argument("--count", type=int, default=1_500, help="events of the export")
    options = parser.parse_args()
    drawn = random.Random(options.seed)
    serving = serving_s3(BUCKET) if options.store == "s3" else nullcontext()
    with tempfile.TemporaryDirectory(prefix="hindcast-killed-") as name, serving:
        folder = Path(name)
        with running_server(folder / "postgres") as server:
            series = _undisturbed(server, folder, options.store, options.count, options.seed)
            say(f"undisturbed: {series.seconds:.1f} s, {series.rows}, {series.objects}")
            say(
                "round  aimed  import killed  capture killed  loaded  answered  not told  pending  and live  ranges"
                "      MB  status"
            )
            for number in range(options.rounds):
                round_ = Round(number, aimed=number % 2 == 1)
                series.rounds.append(round_)
                try:
                    _run_round(series, round_, drawn)
                    round_.status = "ok"
                except Violation as violation:
                    round_.status = f"VIOLATION: {violation}"
                say(_row(round_))
                if round_.status != "ok":
                    break
    say(json.dumps(_summary(series), indent=1))
    sys.exit(any(found.status != "ok" for found in series.rounds))


def _undisturbed(server: EmbeddedServer, folder: Path, kind: str, count: int, seed: int) -> Series:
    export = folder / "llm.jsonl"
    sizes = ["--blobs", "1", "4", "--blob-bytes", "5000", "60000"]
    run_hindcast(
        ["generate", "llm_analytics", "--count", str(count), "--seed", str(seed), *sizes, "--out", export],
        None,
        folder / "home-generate",
    )
    series = Series(server, folder, kind, export, read_values(Path(f"{export}.values.answers.json")))
    url, store = fresh(server, "undisturbed"), series.store("undisturbed")
    began = time.monotonic()
    run_hindcast(["backfill", "-f", export, *CHUNKS], url, series.home("undisturbed"))
    series.seconds = time.monotonic() - began
    looked = check_references(url, store, series.values, set())
    check_nothing_else(url, store, looked.keys)
    query = "SELECT extract(epoch FROM max(committed_at) - min(created_at))::float8 FROM llm_objects"
    series.load_seconds, series.events = _ask(url, query), looked.events
    series.rows, series.objects = digest_events(url, TEAM), digest_objects(store, f"llma/{TEAM}/")
    return series


def _run_round(series: Series, round_: Round, drawn: random.Random) -> None:
    name = f"round{round_.number}"
    url, home, store = fresh(series.server, name), series.home(name), series.store(name)
    sent, answered = Values(), set[str]()
    with _capturing(url, home, sent, answered, drawn) as capture:
        capture_moment = drawn.uniform(0, series.seconds)
        killer = threading.Timer(capture_moment, kill_family, [capture])
        began = time.monotonic()
        killer.start()
        importer = _start(["backfill", "-f", str(series.export), *CHUNKS], url, home)
        if round_.aimed:
            _await_load(url, importer)
            time.sleep(drawn.uniform(0, series.load_seconds))
        else:
            time.sleep(drawn.uniform(0, series.seconds))
        kill_family(importer)
        round_.import_killed_at = round(time.monotonic() - began, 2)
        killer.join()
    round_.capture_killed_at, round_.answered = round(capture_moment, 2), len(answered)
    _await_end_of_sessions(url)
    round_.loaded = int(_ask(url, f"{_EVENTS} = 'default'"))
    round_.unanswered = int(_ask(url, f"{_EVENTS} <> 'default'")) - len(answered)
    round_.pending = int(_ask(url, f"{_PENDING} = 'default'"))
    round_.pending_live = int(_ask(url, f"{_PENDING} <> 'default'"))
    values = series.values | sent
    check_references(url, store, values, answered)
    run_hindcast(["objects", "sweep", "--grace", "0"], url, home)
    looked = check_references(url, store, values, answered)
    check_nothing_else(url, store, looked.keys)
    run_hindcast(["backfill", "-f", series.export, *CHUNKS], url, home)
    looked = check_references(url, store, values, answered)
    check_nothing_else(url, store, looked.keys)
    round_.ranges, round_.megabytes = looked.ranges, round(looked.size_bytes / 1e6, 1)
    for what, found, expected in (
        ("rows", digest_events(url, TEAM), series.rows),
        ("objects", digest_objects(store, f"llma/{TEAM}/"), series.objects),
    ):
        if found != expected:
            raise Violation(f"{what} are not those of an undisturbed import: {found}, not {expected}")


@contextmanager
def _capturing(
    url: str, home: Path, sent: Values, answered: set[str], drawn: random.Random
) -> "Iterator[subprocess.Popen[bytes]]":
    """The endpoint with its clients, from its first answer on."""
    port = find_free_port()
    process, is_over = _start(["capture", "--port", str(port)], url, home), threading.Event()
    clients = [
        Client(f"http://127.0.0.1:{port}/i/v0/ai", TOKEN, drawn.randrange(1 << 60), sent, answered)
        for _ in range(CLIENTS)
    ]
    threads = [threading.Thread(target=client.send_until, args=(is_over,)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        latest = time.monotonic() + 120
        while not answered:
            if time.monotonic() > latest or process.poll() is not None:
                raise Violation("the endpoint answers nobody")
            time.sleep(0.02)
        yield process
    finally:
        kill_family(process)
        is_over.set()
        for thread in threads:
            thread.join()


def _start(arguments: list[str], url: str, home: Path) -> "subprocess.Popen[bytes]":
    settings = {"HINDCAST_HOME": str(home), "DATABASE_URL": url, "HINDCAST_CAPTURE_TOKENS": TOKEN}
    return start_hindcast(arguments, settings)


def _ask(url: str, query: LiteralString) -> float:
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()
    assert row
    return float(row[0])


def _await_end_of_sessions(url: str) -> None:
    """Until the server has noticed that the killed are gone: a last transaction may still end."""
    while _ask(url, _SESSIONS):
        time.sleep(0.05)


def _await_load(url: str, importer: "subprocess.Popen[bytes]") -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        query = "SELECT FROM llm_objects WHERE team = %s LIMIT 1"
        while importer.poll() is None and not connection.execute(query, (TEAM,)).rowcount:
            time.sleep(0.02)


def _row(found: Round) -> str:
    return (
        f"{found.number:>5}  {'yes' if found.aimed else 'no':>5}  {found.import_killed_at:>13}"
        f"  {found.capture_killed_at:>14}  {found.loaded:>6}  {found.answered:>8}  {found.unanswered:>8}"
        f"  {found.pending:>7}  {found.pending_live:>8}  {found.ranges:>6}  {found.megabytes:>6}  {found.status}"
    )


def _summary(series: Series) -> dict[str, Any]:
    rounds = series.rounds
    return {
        "store": series.store_kind,
        "rounds": len(rounds),
        "ok": sum(found.status == "ok" for found in rounds),
        "killed_in_the_load": sum(found.pending > 0 or 0 < found.loaded < series.events for found in rounds),
        "left_pending": sum(found.pending > 0 for found in rounds),
        "left_pending_by_the_endpoint": sum(found.pending_live > 0 for found in rounds),
        "kept_but_not_told": sum(found.unanswered for found in rounds),
        "answered": sum(found.answered for found in rounds),
        "ranges_read": sum(found.ranges for found in rounds),
        "median_pending": statistics.median([found.pending for found in rounds]) if rounds else 0,
        "undisturbed_seconds": round(series.seconds, 1),
        "load_seconds": round(series.load_seconds, 1),
    }


if __name__ == "__main__":
    main()
