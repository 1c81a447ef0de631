"""The figures as text: for the terminal and, as Markdown, for the page."""

from collections.abc import Iterable
from typing import Any, Final

from bench.figures import tabulate
from bench.peers import PEERS

# What was measured, in the order in which it is told.
TITLES: Final = {
    "copy-text": "raw `\\copy`, text, ready rows",
    "copy-binary": "raw `\\copy`, binary, ready rows",
    "backfill": "**`hindcast backfill`, whole**",
    "backfill-small": "`hindcast backfill`, as many events as the peers",
    "reimport": "the same file again: nothing new; its staged chunks are still there",
    "reimport-elsewhere": "the same file again, on a machine that has staged nothing",
    "dry-run": "`--dry-run`: read, decide, gate",
    "rollback": "rollback of the run, archive included",
    "rollback-month": "rollback of a month, archive included",
    "alone-decode": "decode",
    "alone-stage": "decode and stage",
    "alone-gate": "gate",
    "alone-copy-staged": "`COPY` of what is staged",
    "alone-load": "load: `COPY`, ledger, conflicts, keys",
    "alone-rollup": "rollups, rebuilt and proved",
    "alone-verify": "verify: every row read back",
    **{name: peer.title for name, peer in PEERS.items()},
}
_WHOLE: Final = (
    "copy-text",
    "copy-binary",
    "backfill",
    "reimport",
    "reimport-elsewhere",
    "dry-run",
    "rollback",
    "rollback-month",
)
_STEPS: Final = {
    "extract": "read, decode, decide, stage",
    "ledger": "open the run, record rejects",
    "gate": "Great Expectations on staged events",
    "load": "copy, with ledger and conflicts",
    "rollup": "rebuild rollups, prove each",
    "verify": "read every row back, gate the table",
}


def render_figures(result: dict[str, Any]) -> str:
    """Every table, one after the other."""
    parts = [("Whole runs", whole_table(result)), ("Steps of the backfill", steps_table(result))]
    parts += [("Each step alone", alone_table(result)), ("Peers", peers_table(result))]
    parts += [("Start and end", edges_table(result)), ("Memory", memory_table(result))]
    return "\n".join(f"### {title}\n\n{table}" for title, table in parts if table)


def whole_table(result: dict[str, Any]) -> str:
    """Whole runs beside raw copies."""
    return _table(result["figures"], _WHOLE)


def alone_table(result: dict[str, Any]) -> str:
    """Each step without the others around it."""
    return _table(result["figures"], [name for name in TITLES if name.startswith("alone-")])


def peers_table(result: dict[str, Any]) -> str:
    """Peers beside a backfill of the same size, the fastest first; how many times as fast the backfill is."""
    figures, missing = result["figures"], result["missing"]
    names = sorted((name for name in PEERS if name in figures), key=lambda name: figures[name]["seconds"])
    ours = [name for name in ("backfill", "backfill-small") if name in figures]
    rows = []
    for name in [*ours, *names]:
        row = figures[name]
        rate = row["events_per_second"]
        ratios = [f"{figures[our]['events_per_second'] / rate:.1f}x" if name in PEERS else "" for our in ours]
        rows.append([TITLES[name], f"{row['events']:,}", f"{row['seconds']:.2f}", f"{rate:,}", *ratios])
    heads = [f"{TITLES[our].strip('*')} is" for our in ours]
    told = tabulate(rows, ["", "events", "seconds", "events/s", *heads]) if rows else ""
    return told + "".join(f"\n{TITLES[name]}: {' '.join(reason.split())}\n" for name, reason in missing.items())


def steps_table(result: dict[str, Any]) -> str:
    """What the backfill's report says of its steps, and each one's share."""
    if "backfill" not in result["figures"]:
        return ""
    row = result["figures"]["backfill"]
    steps = {name: row["details"]["steps"][name] for name in _STEPS if name in row["details"]["steps"]}
    rows = [
        [f"{name}: {_STEPS[name]}", f"{seconds:.2f}", f"{seconds / row['seconds']:.0%}"]
        for name, seconds in steps.items()
    ]
    return tabulate(rows, ["step", "seconds", "of the whole"])


def edges_table(result: dict[str, Any]) -> str:
    """Seconds before the first byte and after the verification, of whole commands."""
    rows = []
    for name in ("backfill", "backfill-small", "reimport", "dry-run"):
        details = result["figures"].get(name, {}).get("details", {})
        if "startup_seconds" in details:
            told = [f"{details[key]:.2f}" for key in ("startup_seconds", "tail_seconds", "wall_seconds")]
            rows.append([TITLES[name], *told])
    return tabulate(rows, ["", "to the first byte", "after verifying", "command, in all"]) if rows else ""


def memory_table(result: dict[str, Any]) -> str:
    """Peak resident megabytes."""
    keys = ("together", "largest", "main", "prefect_server", "workers")
    rows = []
    for name, figures in result["figures"].items():
        memory = figures["details"].get("memory_mb")
        if memory:
            rows.append([TITLES[name], *(f"{memory[key]:,.0f}" if key in memory else "" for key in keys)])
    return tabulate(rows, ["", "all together", "largest", "main", "Prefect's server", "workers"]) if rows else ""


def _table(figures: dict[str, Any], names: Iterable[str]) -> str:
    rows = []
    for name in names:
        if name not in figures:
            continue
        row = figures[name]
        ratio = "" if row["of_copy"] is None else f"{row['of_copy']:.2f}"
        spread = f"{row['fastest']:.2f} to {row['slowest']:.2f}"
        beyond = row["details"].get("beyond_archive_seconds")
        title = TITLES[name]
        if beyond is not None:
            space = row["details"].get("space_seconds", 0.0)
            title += f" ({beyond:.2f} s beyond it" + (f", then {space:.2f} s to give back space)" if space else ")")
        cells = [f"{row['events']:,}", f"{row['seconds']:.2f}", spread, f"{row['events_per_second']:,}", ratio]
        rows.append([title, *cells])
    return tabulate(rows, ["", "events", "seconds", "spread", "events/s", "of text `\\copy`"]) if rows else ""
