"""Marking a report against the answer key of a generated export."""

from typing import Any, Final

COMPARED: Final = (
    "lines",
    "staged",
    "rejected",
    "skipped",
    "out_of_window",
    "naive_times",
    "first_at",
    "last_at",
    "unknown_properties",
    "conflict",
)


def mark_report(report: dict[str, Any], answers: dict[str, Any]) -> list[str]:
    """List what a report says differently from the key; empty when it is right in everything.

    A first import must have loaded what the key says; a later one must have found all of it there.
    """
    expected = {name: answers[name] for name in COMPARED}
    found = {name: report[name] for name in COMPARED}
    expected["rejects_by_reason"] = answers["rejects_by_reason"]
    found["rejects_by_reason"] = {row["code"]: row["count"] for row in report["rejects_by_reason"]}
    expected["times_differ"], found["times_differ"] = (
        answers["times_differ"],
        report["notes"].get("times_differ", 0),
    )
    names = ("month", "event_type", "export")
    expected["months"] = [tuple(row[name] for name in names) for row in answers["months"]]
    found["months"] = [tuple(row[name] for name in names) for row in report["months"]]
    if not report["dry_run"]:
        expected["table"] = [row["export"] for row in answers["months"]]
        found["table"] = [row["table"] for row in report["months"]]
    is_first = report["dry_run"] or report["loaded"] > 0
    expected["derived"], found["derived"] = answers["derived"] if is_first else 0, report["derived"]
    there = answers["duplicate"] if is_first else answers["duplicate"] + answers["loaded"]
    expected["duplicate"], found["duplicate"] = there, report["duplicate"]
    if not report["dry_run"]:
        expected["loaded"], found["loaded"] = answers["loaded"] if is_first else 0, report["loaded"]
    if is_first:
        expected["sanitised"], found["sanitised"] = answers["sanitised"], report["sanitised"]
    return [
        f"{name}: the report says {str(found[name])[:200]}, the key {str(expected[name])[:200]}"
        for name in expected
        if found[name] != expected[name]
    ]
