"""What the report says before it is written as HTML, Markdown or text: its shape, its books and its verdict.

The verdict is worked out from the figures, not copied from a status: a run that says it succeeded while a
month or a rollup differs, or while the books do not balance, is shown as not proven.
"""

from dataclasses import dataclass
from typing import Any

from hindcast.report_format import count_of, number, plain, share, tell_table, visible

_GOOD = frozenset({"passed", "pass", "ok", "succeeded", "success", "equal", "same", "proven", "fresh", "true"})
_BAD = frozenset(
    {
        "failed",
        "fail",
        "error",
        "refused",
        "differs",
        "different",
        "differ",
        "mismatch",
        "missing",
        "stale",
        "false",
    }
)
_WARN = frozenset({"warning", "warn", "warned", "unproven"})

# The whole report with what stands for a missing value; in a list, the shape of its rows; {} is any mapping.
_TEXT, _COUNT, _MAPPING = "", None, dict[str, Any]()
_CHECK_SHAPE = {
    **dict.fromkeys(("rule", "type", "severity", "status", "description"), _TEXT),
    "observed": None,
    "unexpected": _COUNT,
    "samples": [{"value": None, "part": _TEXT, "line": None}],
}
_SHAPE: dict[str, Any] = {
    **dict.fromkeys(("run_id", "status", "dataset", "format", "export", "operator", "tenant"), _TEXT),
    **dict.fromkeys(("format_evidence", "report_path", "started_at", "finished_at", "first_at", "last_at"), _TEXT),
    **dict.fromkeys(("lines", "staged", "loaded", "replaced", "derived", "duplicate", "conflict", "rejected"), _COUNT),
    **dict.fromkeys(("skipped", "out_of_window", "sanitised", "naive_times"), _COUNT),
    **dict.fromkeys(("seconds", "startup_seconds", "events_per_second", "undo", "error", "window", "limit"), None),
    "dry_run": False,
    "plan": False,
    "months": [
        {"month": _TEXT, "event_type": _TEXT}
        | dict.fromkeys(("export", "table", "new", "already_there", "conflicting"), _COUNT)
    ],
    "gates": [{"suite": _TEXT, "status": _TEXT, "rows": _COUNT, "judged_at": _TEXT, "checks": [_CHECK_SHAPE]}],
    "rollups": [{"rollup": _TEXT, "status": _TEXT, "buckets": _COUNT, "rows": _COUNT, "differing": _COUNT}],
    "verification": {
        "status": _TEXT,
        "rolled_back": _COUNT,
        "checks": [{"name": _TEXT, "status": _TEXT, "detail": _TEXT}],
        "differences": [{"part": _TEXT, "line": None, "field": _TEXT, "export": None, "table": None}],
    },
    "rejects_by_reason": [
        {
            "code": _TEXT,
            "count": _COUNT,
            "samples": [{"part": _TEXT, "line": None, "byte_offset": None, "sentence": _TEXT, "raw": _TEXT}],
        }
    ],
    "unknown_properties": _MAPPING,
    "notes": _MAPPING,
    "conflicts": [{"part": _TEXT, "line": None, "event_id": _TEXT, "fields": _MAPPING}],
    "events_per_day": [{"day": _TEXT, "before": 0, "after": 0}],
    "table": dict.fromkeys(
        (f"{what}_{when}" for what in ("rows", "table_bytes", "index_bytes") for when in ("before", "after")),
        _COUNT,
    ),
    "dashboard_queries": [{"name": _TEXT, "milliseconds": None}],
    "dashboard": {"url": _TEXT, "status": None, "milliseconds": None},
    "parts": [{"part": _TEXT, "size_bytes": None, "sha256": _TEXT, "lines": _COUNT}],
    "preflight": [dict.fromkeys(("check", "status", "sentence"), _TEXT)],
    "governor": _MAPPING,
    "kept": [dict.fromkeys(("part", "status", "kept_as", "reason"), _TEXT)],
    "checked": [_TEXT],
    "not_checked": [_TEXT],
    "timings": _MAPPING,
}


@dataclass(frozen=True)
class Equation:
    """One line of the books: `total` must be the sum of `terms`; a figure that is not known is None."""

    name: str
    total: int | None
    terms: tuple[tuple[str, int | None], ...]

    @property
    def missing(self) -> int | None:
        """How many the terms are short of the total (negative: too many); None when a figure is not known."""
        figures = [value for _, value in self.terms if value is not None]
        if self.total is None or len(figures) < len(self.terms):
            return None
        return self.total - sum(figures)


@dataclass(frozen=True)
class Verdict:
    """What a manager reads first. `tone` is good, warn, bad or plain; every sentence stands alone."""

    tone: str
    label: str
    headline: str
    arrived: str
    proof: str
    proof_tone: str
    bad_lines: str
    undo: str


def completed(report: dict[str, Any]) -> dict[str, Any]:
    """Copy the report with every key and row field present and every text safe to show."""
    filled: dict[str, Any] = _fill(visible(plain(report)), _SHAPE)
    for conflict in filled["conflicts"]:
        conflict["fields"] = {name: _pair(values) for name, values in conflict["fields"].items()}
    return filled


def _pair(values: Any) -> list[Any]:
    return values if isinstance(values, list) and len(values) == 2 else [None, values]


def _fill(value: Any, shape: Any) -> Any:
    if isinstance(shape, list):
        return [_fill(item, shape[0]) for item in value or [] if item is not None]
    if isinstance(shape, dict):
        if not shape:
            return value or {}
        return None if value is None else {key: _fill(value.get(key), inner) for key, inner in shape.items()}
    return shape if value is None else value


def tone(status: Any) -> str:
    """good, warn, bad or plain, for a status word or an HTTP status."""
    if isinstance(status, int) and not isinstance(status, bool):
        return "good" if 200 <= status < 300 else "bad"
    word = str(status).lower()
    return "good" if word in _GOOD else "bad" if word in _BAD else "warn" if word in _WARN else "plain"


def writes_nothing(report: dict[str, Any]) -> bool:
    """Whether the run was a dry run or a plan."""
    return bool(report["dry_run"] or report["plan"])


def books(report: dict[str, Any]) -> list[Equation]:
    """The sums every line must be part of; the second only where the run meant to load."""

    def terms(*names: str) -> tuple[tuple[str, int | None], ...]:
        return tuple((name, report[name]) for name in names)

    lines = Equation("lines", report["lines"], terms("staged", "rejected", "skipped", "out_of_window"))
    staged = Equation("staged", report["staged"], terms("loaded", "duplicate", "conflict"))
    return [lines] if writes_nothing(report) else [lines, staged]


def differing_months(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of months that hold another count in the table than in the export."""
    return [row for row in report["months"] if row["table"] is not None and row["table"] != row["export"]]


def worst_first(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows by their status: failures, warnings, the rest, passes; within each as they came."""
    order = ("bad", "warn", "plain", "good")
    return sorted(rows, key=lambda row: order.index(tone(row["status"])))


def doubts(report: dict[str, Any]) -> list[str]:
    """Every reason why the load is not proven; empty when it is."""
    found = []
    verification = report["verification"]
    if verification is None:
        found.append("the table was not read back")
    elif tone(verification["status"]) != "good":
        found.append(f"verification {verification['status'] or 'did not finish'}")
    found += [
        f"the books are off by {count_of(abs(equation.missing), 'line')} ({equation.name})"
        for equation in books(report)
        if equation.missing
    ]
    differing = len(differing_months(report))
    if differing:
        found.append(f"the table differs from the export in {count_of(differing, 'monthly count')}")
    wrong = [row["rollup"] for row in report["rollups"] if row["differing"] or tone(row["status"]) == "bad"]
    if wrong:
        found.append(f"rollups that differ: {', '.join(wrong)}")
    return found


def verdict(report: dict[str, Any]) -> Verdict:
    """Judge a completed report."""
    status = report["status"]
    unproven = [] if writes_nothing(report) else doubts(report)
    colour = "bad" if status not in ("succeeded", "window_closed") else "good"
    colour = "warn" if colour == "good" and (unproven or status == "window_closed") else colour
    proof, proof_tone = _proof(report, unproven)
    return Verdict(
        tone=colour,
        label=_label(report, unproven),
        headline=_headline(report, unproven),
        arrived=_arrived(report),
        proof=proof,
        proof_tone=proof_tone,
        bad_lines=_bad_lines(report),
        undo=_undo(report),
    )


def _label(report: dict[str, Any], unproven: list[str]) -> str:
    status = report["status"] or "unfinished"
    if report["plan"]:
        return f"plan {status}"
    if report["dry_run"]:
        return f"dry run {status}"
    if status != "succeeded":
        return str(status).replace("_", " ")
    return "succeeded, not proven" if unproven else "succeeded and proven"


def _headline(report: dict[str, Any], unproven: list[str]) -> str:
    status, loaded = report["status"], report["loaded"]
    if status == "refused":
        return "Refused: no event was written"
    if status == "window_closed":
        there = count_of(loaded or 0, "event")
        return f"The low-traffic window closed after {there} had been loaded; running it again goes on"
    if status != "succeeded" and writes_nothing(report):
        return "The dry run failed; nothing was written"
    if status != "succeeded":
        if loaded:
            return f"The import failed after {count_of(loaded, 'event')} had been loaded"
        return "The import failed" if loaded is None else "The import failed: no event was loaded"
    if report["plan"]:
        new = sum(row["new"] or 0 for row in report["months"])
        return f"{count_of(new, 'event')} would be new; nothing was written"
    if report["dry_run"]:
        return f"{count_of(report['staged'], 'event')} ready to load; nothing was written"
    if not loaded and report["derived"]:
        return f"{count_of(report['derived'], 'event')} made from others, nothing else new"
    if not loaded and report["replaced"]:
        return f"{count_of(report['replaced'], 'row')} replaced, nothing new to load"
    if not loaded and report["conflict"]:
        return f"Nothing new to load; {count_of(report['conflict'], 'record')} in conflict kept out"
    if not loaded and report["staged"]:
        return f"Nothing new to load{'' if unproven else ': the table already holds this export'}"
    return tell_table(report, "but not proven" if unproven else "and proven")


def _arrived(report: dict[str, Any]) -> str:
    if report["lines"] is None:
        return "The export was not read to its end."
    start = f"{count_of(report['lines'], 'line')} read, {number(report['staged'])} good"
    if report["plan"]:
        sums = {name: sum(row[name] or 0 for row in report["months"]) for name in ("already_there", "conflicting")}
        there, conflicting = number(sums["already_there"]), number(sums["conflicting"])
        return f"{start}; {there} already there, {conflicting} in conflict."
    if report["dry_run"]:
        return f"{start}. No database was opened."
    derived = f" We added {count_of(report['derived'], 'derived event')}." if report["derived"] else ""
    known = [
        f"{number(report[name])} {words}"
        for name, words in (("loaded", "loaded"), ("duplicate", "already known"), ("conflict", "in conflict"))
        if report[name] is not None
    ]
    return f"{start}; {', '.join(known)}.{derived}" if known else f"{start}."


def _proof(report: dict[str, Any], unproven: list[str]) -> tuple[str, str]:
    if writes_nothing(report) or report["status"] == "refused":
        return "Nothing was written, so there is nothing to prove yet.", "plain"
    if unproven:
        return f"No: {'; '.join(unproven)}.", "bad" if report["status"] != "succeeded" else "warn"
    checks = len(report["verification"]["checks"])
    return f"Yes: the table was read back and agrees with the export in {count_of(checks, 'check')}.", "good"


def _bad_lines(report: dict[str, Any]) -> str:
    if report["rejected"] is None:
        return "Not known: the export was not read to its end."
    if not report["rejected"]:
        return "None: every line could be read."
    reasons = sorted(report["rejects_by_reason"], key=lambda row: -(row["count"] or 0))
    first = f" Most often {reasons[0]['code']} ({number(reasons[0]['count'])})." if reasons else ""
    part = share(report["rejected"], report["lines"])
    return f"{number(report['rejected'])} of {number(report['lines'])} set aside ({part}).{first}"


def _undo(report: dict[str, Any]) -> str:
    if writes_nothing(report):
        return "Nothing to undo: nothing was written."
    if report["undo"]:
        return "One command takes this run out of the table again:"
    nothing = (report["loaded"] == 0 and not report["derived"]) or report["status"] == "refused"
    return "Nothing to undo: no row was added." if nothing else "No undo command was recorded."
