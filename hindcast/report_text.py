"""The report as Markdown, for a Prefect artifact, and as plain text, for the terminal."""

import re
from collections.abc import Iterable
from typing import Any

from hindcast.report_facts import Equation, Verdict, books, completed, tone, verdict, writes_nothing
from hindcast.report_format import count_of, instant, milliseconds, number, seconds, signed, size
from hindcast.report_manners import describe_manners

ROWS_SHOWN = 60  # of one table: an artifact is read in a side panel, and Prefect stores it in its own database
SAMPLES_SHOWN = 10
SENTENCES_SHOWN = 8  # of manners in the summary
_CELL_LIMIT = 300
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~!&$])")


def render_markdown(report: dict[str, Any]) -> str:
    """Render compact Markdown; text from the export cannot break a table, start a link or hold HTML."""
    facts = completed(report)
    judged = verdict(facts)
    sections = [
        _markdown_verdict(facts, judged),
        _markdown_books(facts),
        _markdown_months(facts),
        _markdown_gates(facts),
        _markdown_rejects(facts),
        _markdown_conflicts(facts),
        _markdown_proof(facts),
        _markdown_costs(facts),
        _table("Manners", ("what", "said"), describe_manners(facts)),
        _markdown_lists(facts),
        _table("Timings", ("step", "took"), ((step, seconds(taken)) for step, taken in facts["timings"].items())),
        _table(
            "Parts",
            ("part", "lines", "size", "sha256"),
            ((row["part"], number(row["lines"]), size(row["size_bytes"]), row["sha256"]) for row in facts["parts"]),
        ),
        f"Full report: {_cell(facts['report_path'])}" if facts["report_path"] else "",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def render_summary(report: dict[str, Any]) -> str:
    """Render about twenty lines of plain text, the verdict first."""
    facts = completed(report)
    judged = verdict(facts)
    rows = [
        ("error", facts["error"]),
        ("export", f"{facts['export']} ({facts['format'] or 'format not known'})"),
        ("run", f"{facts['run_id']} {facts['operator'] and 'by ' + facts['operator']}"),
        *(("books", _equation(equation)) for equation in books(facts)),
        ("derived", count_of(facts["derived"], "event") if facts["derived"] else None),
        *_summary_rejects(facts),
        *(("gate", _gate(gate)) for gate in facts["gates"]),
        ("proven", judged.proof),
        *_summary_proof(facts),
        ("speed", _speed(facts)),
        *describe_manners(facts)[:SENTENCES_SHOWN],
        ("report", facts["report_path"]),
        ("undo", judged.undo if writes_nothing(facts) else facts["undo"] or judged.undo),
    ]
    lines = [f"{judged.label.upper()}: {_line(judged.headline)}"]
    last = ""
    for name, text in rows:
        if text:
            lines.append(f"  {'' if name == last else name:<9} {_line(text)}".rstrip())
            last = name
    return "\n".join(lines) + "\n"


def describe_gate(gate: dict[str, Any]) -> str:
    """A gate in a sentence: `export warned: 11 of 12 checks passed on 1 row`."""
    return _gate(gate)


def tabulate_gate(gate: dict[str, Any]) -> list[dict[str, str]]:
    """One gate as the rows of a table: what failed first, each check followed by its failing values, part and line."""
    rows = []
    for check in sorted(
        gate["checks"], key=lambda check: ("bad", "warn", "plain", "good").index(tone(check["status"]))
    ):
        rule, severity = str(check["rule"]), str(check["severity"])
        found, what = _short(check["observed"], 60), _short(check["description"])
        status = {"status": str(check["status"]), "rule": rule}
        rows.append(status | {"found": found, "where": "", "check": what, "severity": severity})
        if tone(check["status"]) != "good":
            sample = {"status": "sample", "rule": rule}
            rows.extend(
                sample | {"found": _short(s["value"], 60), "where": _short(_place(s), 60), "check": "", "severity": ""}
                for s in check["samples"]
            )
    return rows


def _line(text: Any) -> str:
    """One line, whatever the text holds; a path or command keeps its length."""
    return " ".join(str(text).split())


def _short(text: Any, limit: int = 90) -> str:
    line = _line(text)
    return line if len(line) <= limit else f"{line[:limit]}…"


def _cell(value: Any) -> str:
    cut = _short("null" if value is None else value, _CELL_LIMIT)
    # a web address in other people's text must not become a link
    return _MARKDOWN.sub(r"\\\1", cut).replace("://", ":\u200b//").replace("www.", "www\u200b.")


def _table(title: str, names: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> str:
    body = ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    if not body:
        return ""
    head = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    rest = [f"\n{len(body) - ROWS_SHOWN:,} more rows are in the full report."] if len(body) > ROWS_SHOWN else []
    return "\n".join([f"## {title}\n", *head, *body[:ROWS_SHOWN], *rest])


def _equation(equation: Equation) -> str:
    terms = " + ".join(f"{number(value)} {name.replace('_', ' ')}" for name, value in equation.terms)
    missing = equation.missing
    judged = "not known" if missing is None else "balances" if missing == 0 else f"OFF BY {number(missing)}"
    return f"{number(equation.total)} {equation.name} = {terms}: {judged}"


def _gate(gate: dict[str, Any]) -> str:
    kept = sum(1 for check in gate["checks"] if tone(check["status"]) == "good")
    rows = "" if gate["rows"] is None else f" on {count_of(gate['rows'], 'row')}"
    earlier = f", judged {instant(gate['judged_at'])}" if gate.get("judged_at") else ""
    return f"{gate['suite']} {gate['status']}: {kept} of {count_of(len(gate['checks']), 'check')} passed{rows}{earlier}"


def _speed(facts: dict[str, Any]) -> str:
    rate = facts["events_per_second"]
    startup = facts["startup_seconds"]
    pieces = [
        f"{seconds(facts['seconds'])}" if facts["seconds"] is not None else "",
        f"{number(round(rate))} events a second" if isinstance(rate, int | float) else "",
        f"start-up {seconds(startup)}" if startup is not None else "",
    ]
    return ", ".join(piece for piece in pieces if piece)


def _sorted_rejects(facts: dict[str, Any]) -> list[dict[str, Any]]:
    return sorted(facts["rejects_by_reason"], key=lambda row: -(row["count"] or 0))


def _summary_rejects(facts: dict[str, Any]) -> Iterable[tuple[str, str]]:
    reasons = _sorted_rejects(facts)
    for row in reasons[:6]:
        first = row["samples"][0] if row["samples"] else None
        example = f", such as {_place(first)}: {_short(first['sentence'])}" if first else ""
        yield "rejects", f"{number(row['count'])} {row['code']}{example}"
    if len(reasons) > 6:
        yield "rejects", f"and {len(reasons) - 6} other reasons"


def _summary_proof(facts: dict[str, Any]) -> Iterable[tuple[str, str]]:
    checks = facts["verification"]["checks"] if facts["verification"] else []
    for check in [check for check in checks if tone(check["status"]) != "good"][:4]:
        yield "proven", f"{check['name']} {check['status']}: {_short(check['detail'])}"
    rollups = facts["rollups"]
    if rollups:
        wrong = sum(1 for row in rollups if row["differing"] or tone(row["status"]) == "bad")
        yield "rollups", f"{len(rollups)} rebuilt, {wrong} differing"


def _place(row: dict[str, Any]) -> str:
    return f"{row['part'] or 'export'}" + (f" line {row['line']}" if row["line"] is not None else "")


def _markdown_verdict(facts: dict[str, Any], judged: Verdict) -> str:
    undo = f"{judged.undo} `` {_line(facts['undo']).replace('`', '')} ``" if facts["undo"] else judged.undo
    if writes_nothing(facts):
        undo = judged.undo
    about = f"{facts['export']} · {facts['format']} · run {facts['run_id']} · {facts['operator']}"
    lines = [
        f"# {_cell(judged.headline)}",
        f"**{_cell(judged.label)}** · {_cell(about)} · {instant(facts['finished_at'])}",
        f"**Error.** {_cell(facts['error'])}" if facts["error"] else "",
        f"- **Arrived.** {_cell(judged.arrived)}\n- **Proven.** {_cell(judged.proof)}\n"
        f"- **Bad lines.** {_cell(judged.bad_lines)}\n- **Undo.** {undo}\n"
        f"- **Took.** {_cell(_speed(facts) or '–')}",
    ]
    return "\n\n".join(line for line in lines if line)


def _markdown_books(facts: dict[str, Any]) -> str:
    equations = [f"- {_cell(_equation(equation))}" for equation in books(facts)]
    extra = [f"- {_cell(count_of(facts['derived'], 'derived event'))}, counted apart"] if facts["derived"] else []
    return "\n".join(["## Books\n", *equations, *extra])


def _markdown_months(facts: dict[str, Any]) -> str:
    names = ["export", *(["new", "already_there", "conflicting"] if facts["plan"] else [])]
    with_table = any(row["table"] is not None for row in facts["months"])
    differing_first = sorted(facts["months"], key=lambda row: row["table"] in (None, row["export"]))
    rows = []
    for row in differing_first:
        figures = [number(row[name]) for name in names]
        if with_table:
            off = None if row["table"] is None else row["table"] - (row["export"] or 0)
            figures += [number(row["table"]), signed(off) if off != 0 else "0"]
        rows.append((row["month"], row["event_type"], *figures))
    heads = ["month", "event type", *(name.replace("_", " ") for name in names)]
    return _table("Months", (*heads, *(("table", "difference") if with_table else ())), rows)


def _markdown_gates(facts: dict[str, Any]) -> str:
    gates = [f"- **{_cell(gate['status'])}** {_cell(_gate(gate))}" for gate in facts["gates"]]
    failed = [
        (
            check["description"] or check["rule"],
            check["severity"],
            check["status"],
            number(check["unexpected"]),
        )
        for gate in facts["gates"]
        for check in gate["checks"]
        if tone(check["status"]) != "good"
    ]
    checks = _table("Checks that did not pass", ("rule", "severity", "status", "unexpected"), failed)
    return "\n\n".join(piece for piece in ("\n".join(["## Gates\n", *gates]) if gates else "", checks) if piece)


def _markdown_rejects(facts: dict[str, Any]) -> str:
    rows = []
    for row in _sorted_rejects(facts):
        first = row["samples"][0] if row["samples"] else {"part": "", "line": None, "sentence": ""}
        place = _place(first) if row["samples"] else ""
        rows.append((row["code"], number(row["count"]), place, first["sentence"]))
    return _table("Rejects", ("reason", "lines", "for example", "why"), rows)


def _markdown_conflicts(facts: dict[str, Any]) -> str:
    rows = [
        (_place(conflict), field, *pair)
        for conflict in facts["conflicts"][:SAMPLES_SHOWN]
        for field, pair in conflict["fields"].items()
    ]
    return _table("Conflicts (examples)", ("where", "field", "in the table", "in the export"), rows)


def _markdown_proof(facts: dict[str, Any]) -> str:
    verification = facts["verification"] or {"checks": [], "differences": []}
    checks = ((row["name"], row["status"], row["detail"]) for row in verification["checks"])
    found = verification["differences"][:SAMPLES_SHOWN]
    differences = ((_place(row), row["field"], row["export"], row["table"]) for row in found)
    rollups = (
        (row["rollup"], number(row["buckets"]), number(row["rows"]), number(row["differing"]), row["status"])
        for row in facts["rollups"]
    )
    tables = (
        _table("Verification", ("check", "status", "detail"), checks),
        _table("Differences (examples)", ("where", "field", "in the export", "in the table"), differences),
        _table("Rollups", ("rollup", "buckets", "rows", "differing", "status"), rollups),
    )
    return "\n\n".join(table for table in tables if table)


def _markdown_costs(facts: dict[str, Any]) -> str:
    table, dashboard = facts["table"], facts["dashboard"]
    rows = []
    if table:
        for name, key, write in (
            ("rows", "rows", number),
            ("table", "table_bytes", size),
            ("indexes", "index_bytes", size),
        ):
            rows.append((name, write(table[f"{key}_before"]), write(table[f"{key}_after"])))
    queries = [(row["name"], milliseconds(row["milliseconds"])) for row in facts["dashboard_queries"]]
    if dashboard:
        queries.insert(0, (f"{dashboard['url']} ({dashboard['status']})", milliseconds(dashboard["milliseconds"])))
    tables = (
        _table("Table size", ("", "before", "after"), rows),
        _table("Dashboard", ("query", "took"), queries),
    )
    return "\n\n".join(piece for piece in tables if piece)


def _markdown_lists(facts: dict[str, Any]) -> str:
    noticed = [
        *facts["notes"].items(),
        *((f"unknown: {name}", n) for name, n in facts["unknown_properties"].items()),
    ]
    pieces = [_table("Also noticed", ("what", "records"), ((name, number(n)) for name, n in noticed))]
    for title, key in (("Checked", "checked"), ("Not checked", "not_checked")):
        if facts[key]:
            pieces.append("\n".join([f"## {title}\n", *(f"- {_cell(sentence)}" for sentence in facts[key])]))
    return "\n\n".join(piece for piece in pieces if piece)
