"""Previews and proofs of undoing as plain text for the shell and as Markdown for the UI."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from rich.cells import cell_len

from hindcast.preview import Preview
from hindcast.report_format import count_of, visible
from hindcast.rollups import ROLLUPS

ROWS_SHOWN: Final = 60


def render_preview(preview: Preview) -> str:
    """The preview for the terminal: aligned, and at its end the command that applies it."""
    what = preview.selection.describe()
    if not preview.rows and not preview.unfinished:
        return f"PREVIEW: {what}: no rows are selected\n{_facts(preview)}"
    rows = [(month, visible(kind), f"{count:,}") for month, kind, count in preview.months]
    lines = [f"PREVIEW: {what}: {count_of(preview.rows, 'row')} would go; nothing was changed", ""]
    lines += _align([("month", "event type", "rows"), *_cut(rows), ("all", "", f"{preview.rows:,}")], right=(2,))
    lines += ["", _facts(preview)]
    if preview.sample:
        lines += ["", "sample"]
        lines += _align([tuple(_sample(row)) for row in preview.sample], right=())
    return "\n".join([*lines, "", f"apply    {preview.command}"])


def render_preview_markdown(preview: Preview) -> str:
    """The preview for an artifact and for the form that asks for the confirmation."""
    months = [(month, _cell(kind), f"{count:,}") for month, kind, count in preview.months]
    sections = [
        f"# Rollback of {_cell(preview.selection.describe())}: {count_of(preview.rows, 'row')} would go",
        _table(("month", "event type", "rows"), _cut(months)),
        "\n".join(f"- **{name}** {_cell(text)}" for name, text in _facts_of(preview)),
        _table(
            ("event", "at", "source", "type", "chunk", "line"), (map(_cell, _sample(row)) for row in preview.sample)
        ),
        f"Digest of the selected rows: `{preview.digest}`",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def render_rollback(report: dict[str, Any]) -> str:
    """What was done, for the terminal."""
    if report["status"] == "nothing_selected":
        return "NOTHING SELECTED: no row of the table is in this selection; nothing was changed"
    lines = [
        f"ROLLED BACK: {count_of(report['deleted'], 'row')} deleted, {report['verification']['status']} verification",
        "",
        f"archive  {report['archive']}",
        f"at       {report['archive_uri']}",
        f"kept     {count_of(report['live_rows_kept'], 'row')} of the live platform",
    ]
    if report["replaced_rows_restored"]:
        lines.append(f"put back {count_of(report['replaced_rows_restored'], 'row')} that these had replaced")
    if report["changed_rows_left"]:
        first = report["changed_rows"][0]
        lines.append(
            f"left     {count_of(report['changed_rows_left'], 'row')} that changed since they were archived, such as"
            f" event {first['event_id']} of {first['created_at']}"
        )
    if report["remaining"]:
        lines.append(f"remain   {count_of(report['remaining'], 'row')} of this selection: run the same command again")
    lines += _checks(report)
    return "\n".join([*lines, f"undo     hindcast restore {report['archive']}"])


def render_restore(report: dict[str, Any]) -> str:
    """What was put back, for the terminal."""
    lines = [
        f"RESTORED: {count_of(report['restored'], 'row')} put back, {report['already_there']:,} there already,"
        f" {report['verification']['status']} verification",
        "",
        f"archive  {report['archive']}",
    ]
    return "\n".join([*lines, *_checks(report)])


def render_proof_markdown(report: dict[str, Any]) -> str:
    """The proof for an artifact."""
    checks = report["verification"]["checks"]
    named = report.get("changed_rows") or report.get("differing_rows") or []
    sections = [
        f"# {report['status'].replace('_', ' ').capitalize()}: verification {report['verification']['status']}",
        f"Archive `{report['archive']}` at {_cell(report.get('archive_uri', ''))}",
        _table(("check", "status", "found"), ((c["name"], c["status"], _cell(c["detail"])) for c in checks)),
        _table(("changed row, left", "at"), ((row["event_id"], row["created_at"]) for row in named)),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _facts(preview: Preview) -> str:
    return "\n".join(f"{name:<8} {text}" for name, text in _facts_of(preview))


def _facts_of(preview: Preview) -> list[tuple[str, str]]:
    facts = []
    for owner in preview.owners:
        run = f"run {owner.run_id} ({owner.dataset}, {owner.started_at:%Y-%m-%d %H:%M})" if owner.run_id else ""
        facts.append(("owner", f"{run or owner.dataset}: {count_of(owner.rows, 'row')}"))
    facts.append(("kept", f"{count_of(preview.live_rows_kept, 'row')} of the live platform"))
    if preview.put_back:
        facts.append(("put back", f"{count_of(preview.put_back, 'row')} that these had replaced"))
    if preview.rows:
        facts.append(("rollups", f"{len(ROLLUPS)}, {count_of(preview.days, 'day')} each"))
        estimate = preview.estimate
        basis = "measured here" if estimate.is_measured else "a guess: nothing was rolled back here yet"
        rate = f"{estimate.rows_a_second:,.0f} rows a second, {basis}"
        facts.append(("takes", f"about {estimate.minutes:g} min ({rate})"))
    facts += [
        ("overlap", f"run {overlap.run_id} ({overlap.dataset}, {overlap.started_at:%Y-%m-%d %H:%M}): {overlap.reason}")
        for overlap in preview.overlaps
    ]
    if preview.unfinished:
        facts.append(
            (
                "resumes",
                f"archive {preview.unfinished.archive_id}, {preview.unfinished.status}:"
                f" {preview.unfinished_counts.get('deleted', 0):,} rows are deleted already",
            )
        )
    return facts


def _checks(report: dict[str, Any]) -> list[str]:
    return [f"{check['status']:<8} {check['name']}: {check['detail']}" for check in report["verification"]["checks"]]


def _sample(row: dict[str, Any]) -> list[str]:
    chunk = "live" if row["import_chunk_id"] is None else f"chunk {row['import_chunk_id']}"
    line = "" if row["export_line"] is None else f"line {row['export_line']}"
    return [
        row["event_id"],
        f"{row['created_at']:%Y-%m-%d %H:%M:%S}",
        visible(row["source"]),
        visible(row["event_type"]),
        chunk,
        line,
    ]


def _cut(rows: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    if len(rows) <= ROWS_SHOWN:
        return list(rows)
    return [*rows[:ROWS_SHOWN], ("…", f"{len(rows) - ROWS_SHOWN:,} more pairs: --json has all", "")]


def _align(rows: Sequence[tuple[str, ...]], right: tuple[int, ...]) -> list[str]:
    widths = [max(cell_len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = []
        for place, (cell, width) in enumerate(zip(row, widths, strict=True)):
            space = " " * (width - cell_len(cell))
            cells.append(space + cell if place in right else cell + space)
        lines.append("  ".join(cells).rstrip())
    return lines


def _table(head: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    body = ["| " + " | ".join(row) + " |" for row in rows]
    if not body:
        return ""
    return "\n".join(["| " + " | ".join(head) + " |", "|" + " --- |" * len(head), *body])


def _cell(text: Any) -> str:
    shown = str(visible(str(text))).replace("\n", " ")
    return "".join(f"\\{mark}" if mark in "\\`*_{}[]<>#|~!&$" else mark for mark in shown)
