"""What every measurement works with: the server, the exports, the ready-made rows."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from bench.command import as_object, remove, run_hindcast
from bench.server import drop_all_but, fresh, psql, say
from hindcast.embedded import EmbeddedServer
from hindcast.synthetic import GenerateSpec, generate

FORMAT = "analytics_history"
# Loaded once before the rounds: its rows are the ready-made ones, its partitions are those of the raw copies.
FIRST = "first"
# What peers get of an event.
_PEER_COLUMNS = (
    "event_id, created_at, event_type, user_id, session_id, course_id, lesson_id, module_id, user_agent, payload"
)


@dataclass(frozen=True)
class Lab:
    """`export` has `events` records, `peer_export` has `peer_events`; `rows` and `peer_rows` are how many are ready."""

    server: EmbeddedServer
    folder: Path
    tools: Path
    events: int
    peer_events: int
    export: Path
    peer_export: Path
    ready_text: Path
    ready_binary: Path
    ready_lines: Path
    rows: int
    peer_rows: int

    def fresh(self, name: str) -> str:
        """An empty database with our schema; its months are made by whoever loads."""
        drop_all_but(self.server, FIRST)
        return fresh(self.server, name)

    def home(self) -> Path:
        """A HINDCAST_HOME with nothing in it."""
        return Path(tempfile.mkdtemp(prefix="home-", dir=self.folder))

    def backfill(
        self, url: str | None, export: Path, *options: str, home: Path | None = None
    ) -> tuple[dict[str, Any], float, dict[str, float]]:
        """Run a whole backfill, in a home of its own if none is given; its report, its wall seconds and its memory."""
        own = home or self.home()
        try:
            ran = run_hindcast(["backfill", "-f", export, "--json", *options], url, own)
        finally:
            if not home:
                remove(own)
        return as_object(ran.stdout), ran.seconds, ran.memory


def prepare(server: EmbeddedServer, folder: Path, tools: Path, sizes: tuple[int, int], seed: int) -> Lab:
    """Make the exports (of `events` and `peer_events` records), load the larger one once, keep its rows as files."""
    events, peer_events = sizes[0], min(sizes)
    export, peer_export = folder / "history.jsonl", folder / "history-peers.jsonl"
    say(f"generating {events:,} events, seed {seed}")
    generate(GenerateSpec(FORMAT, events, seed, export))
    if peer_events == events:
        peer_export = export
    else:
        generate(GenerateSpec(FORMAT, peer_events, seed, peer_export))
    text, binary, lines = (folder / name for name in ("rows.txt", "rows.bin", "rows.jsonl"))
    lab = Lab(server, folder, tools, events, peer_events, export, peer_export, text, binary, lines, rows=0, peer_rows=0)
    say("loading them once, for the ready-made rows")
    url = lab.fresh(FIRST)
    report, *_ = lab.backfill(url, export)
    psql(server, FIRST, f"\\copy (TABLE analytics_events) TO '{text}'")
    psql(server, FIRST, f"\\copy (TABLE analytics_events) TO '{binary}' (FORMAT binary)")
    peer_rows = _write_peer_rows(url, lines, peer_events)
    return Lab(**{**vars(lab), "rows": report["loaded"] + report["derived"], "peer_rows": peer_rows})


def _write_peer_rows(url: str, path: Path, limit: int) -> int:
    """Write rows as JSON lines, ids and times worked out, nothing damaged: peers need not find out."""
    query = (
        f"SELECT row_to_json(e)::text FROM (SELECT {_PEER_COLUMNS} FROM analytics_events"  # noqa: S608  # ours alone
        " ORDER BY created_at, event_id LIMIT %s) AS e"
    )
    count = 0
    with psycopg.connect(url) as connection, path.open("w") as out, connection.cursor(name="rows") as cursor:
        for (row,) in cursor.execute(query.encode(), (limit,)):
            out.write(json.dumps(json.loads(row), separators=(",", ":"), ensure_ascii=False) + "\n")
            count += 1
    return count
