"""Tools that a user would pick for the same job, each in an environment of its own.

Each loads ready-made rows (ids and times worked out, nothing damaged) as JSON lines into its own keyed table, so that
loading them again would add nothing. What they need not do: check records, derive ids, gate, keep a ledger, rebuild
rollups, read the table back.
"""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from bench.command import CommandFailed, as_object, run
from bench.figures import Taken
from bench.lab import Lab
from bench.server import empty

SCRIPTS: Final = Path(__file__).parent
BATCH: Final = 500
_TABLE: Final = (
    "CREATE TABLE {} (event_id uuid PRIMARY KEY, created_at timestamptz NOT NULL, event_type text NOT NULL,"
    " user_id text, session_id text, course_id text, lesson_id text, module_id text, user_agent text, payload jsonb)"
)
# 1.4.10 is the last whose wheel holds the program; later ones download it when they are first used.
_SLING: Final = "sling==1.4.10"
_SLING_STREAM: Final = """
source: LOCAL
target: BENCH
defaults:
  mode: incremental
  primary_key: [event_id]
  source_options: {{flatten: 1, columns: {{payload: json, created_at: timestampz}}}}
  target_options: {{table_keys: {{primary: [event_id]}}}}
streams:
  "file://{file}": {{object: peer.events}}
"""


@dataclass(frozen=True)
class Peer:
    """`install` makes the environment (again: does nothing); `command` is what is timed; `table` is where rows go."""

    title: str
    install: Callable[[Path], None]
    command: Callable[[Lab, str], list[str]]
    table: str = "peer_events"
    is_table_made: bool = False


def install(name: str, tools: Path) -> str | None:
    """Make a peer ready; returns why not when that cannot be done."""
    try:
        PEERS[name].install(tools)
    except (CommandFailed, OSError) as error:
        return " ".join(str(error).split())[-200:]
    return None


def measure(name: str, lab: Lab) -> dict[str, Taken]:
    """Load the ready rows with a peer into a database of its own, and count them there."""
    peer = PEERS[name]
    url = empty(lab.server, "peer")
    if not peer.is_table_made:
        with psycopg.connect(url) as connection:
            connection.execute(sql.SQL(_TABLE).format(sql.Identifier(peer.table)))
    environment = {"BENCH": url, "DLT_TELEMETRY": "false", "RUNTIME__DLTHUB_TELEMETRY": "false"}
    environment |= {"SLING_DISABLE_TELEMETRY": "true", "SLING_HOME_DIR": str(lab.tools / "sling-home")}
    ran = run(peer.command(lab, url), environment, lab.folder)
    with psycopg.connect(url) as connection:
        names = sql.Identifier(*peer.table.split("."))
        row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(names)).fetchone()
    if not row or row[0] != lab.peer_rows:
        raise CommandFailed(f"loaded {row and row[0]} of {lab.peer_rows} rows")
    details = {"wall_seconds": round(ran.seconds, 3), "memory_mb": ran.memory}
    # Where a tool does not tell, all its time is its work: it is a compiled program that starts at once.
    seconds = as_object(ran.stdout)["seconds"] if ran.stdout.lstrip().startswith("{") else ran.seconds
    return {name: Taken(seconds, lab.peer_rows, details)}


def _make_venv(folder: Path, *packages: str) -> None:
    if (folder / "installed").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    run([sys.executable, "-m", "venv", folder], folder=folder.parent)
    run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", *packages], folder=folder.parent)
    (folder / "installed").touch()


def _install_dlt(tools: Path) -> None:
    _make_venv(tools / "dlt", "dlt[postgres]", "psycopg2-binary", "pyarrow")


def _install_sling(tools: Path) -> None:
    _make_venv(tools / "sling", _SLING)


def _install_node(tools: Path) -> None:
    folder = tools / "node"
    if not shutil.which("node") or not shutil.which("npm"):
        raise CommandFailed("node and npm are not on the PATH")
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "node_modules" / "pg").exists():
        run(["npm", "install", "--no-audit", "--no-fund", "--prefix", folder, "pg"], folder=folder)


def _install_nothing(tools: Path) -> None:
    pass


def _dlt(way: str) -> Callable[[Lab, str], list[str]]:
    def command(lab: Lab, url: str) -> list[str]:
        python = str(lab.tools / "dlt" / "bin" / "python")
        return [python, str(SCRIPTS / "dlt_load.py"), url, str(lab.ready_lines), "events", way]

    return command


def _sling(lab: Lab, url: str) -> list[str]:
    replication = lab.folder / "sling.yaml"
    replication.write_text(_SLING_STREAM.format(file=lab.ready_lines))
    # The program itself: the package's own way to it imports what it does not require.
    program = next((lab.tools / "sling" / "lib").glob("python*/site-packages/sling_*/bin/sling-*"))
    return [str(program), "run", "-r", str(replication)]


def _node(lab: Lab, url: str) -> list[str]:
    script = lab.tools / "node" / "insert.js"  # beside its node_modules
    shutil.copyfile(SCRIPTS / "insert.js", script)
    return ["node", str(script), url, str(lab.ready_lines), "peer_events", str(BATCH)]


def _executemany(lab: Lab, url: str) -> list[str]:
    return [sys.executable, str(SCRIPTS / "executemany.py"), url, str(lab.ready_lines), "peer_events", str(BATCH)]


PEERS: Final = {
    "node": Peer(f"node pg, INSERT of {BATCH} rows, ON CONFLICT DO NOTHING", _install_node, _node),
    "executemany": Peer(f"psycopg executemany, {BATCH} rows a transaction", _install_nothing, _executemany),
    "sling": Peer("Sling 1.4.10, incremental", _install_sling, _sling, "peer.events", is_table_made=True),
    "dlt": Peer("dlt, merge, as it comes", _install_dlt, _dlt("default"), "peer.events", is_table_made=True),
    "dlt-tuned": Peer("dlt, upsert, CSV, 2 workers", _install_dlt, _dlt("tuned"), "peer.events", is_table_made=True),
    "dlt-arrow": Peer("dlt, Arrow, insert-only", _install_dlt, _dlt("arrow"), "peer.events", is_table_made=True),
}
