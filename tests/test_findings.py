"""The report as JSON: what it says of a run that went to its end, of one that did not, and of a dry run."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from loading import begin, make_event, stage, write_export

from hindcast.chunk_proof import Difference
from hindcast.findings import SAMPLES_A_REASON, Findings, build_report, timed, write_rejects
from hindcast.findings import begin as begin_findings
from hindcast.plan import Request
from hindcast.report_facts import books, completed
from hindcast.verify import Verification

pytest_plugins = ["loading_fixtures", "reading_fixtures"]
REPORT = Path("report.html")


def staged_findings(export: Path, **request: Any) -> Findings:
    findings = begin_findings(Request(file=str(export)), is_dry_run=True)
    findings.plan, findings.folder, findings.manifest = stage(export, format="analytics_history", **request)
    return findings


def report_of(findings: Findings, status: str = "succeeded") -> dict[str, Any]:
    return build_report(findings, status, REPORT)


def test_a_run_that_ended_before_it_began_has_a_report_with_the_same_keys(home: Path, tmp_path: Path) -> None:
    export = write_export(tmp_path / "history.jsonl", [make_event(0)])
    empty, full = begin_findings(Request(file="x"), is_dry_run=False), staged_findings(export)
    nothing = report_of(empty, "failed")
    assert nothing.keys() == report_of(full).keys()
    assert (nothing["lines"], nothing["loaded"], nothing["seconds"], nothing["undo"]) == (None, None, None, None)
    assert nothing["not_checked"] == ["the table was not verified: the run ended before"]
    json.dumps(nothing)


def test_the_books_of_a_dry_run_balance(home: Path, tmp_path: Path) -> None:
    lines = [make_event(0), make_event(0), "not json", make_event(61), make_event(2, occurred_at="2024-01-31 23:02")]
    findings = staged_findings(write_export(tmp_path / "h.jsonl", lines), window="2024-01-01..2024-02-01")
    report = report_of(findings)
    names = ("lines", "staged", "rejected", "out_of_window", "duplicate", "naive_times", "loaded")
    assert [report[name] for name in names] == [5, 3, 1, 1, 1, 1, 0]
    assert [equation.missing for equation in books(completed(report))] == [0]
    assert report["window"] == ["2024-01-01T00:00:00.000000Z", "2024-02-01T00:00:00.000000Z"]
    assert (report["first_at"], report["last_at"]) == ("2024-01-31T23:00:00.000000Z", "2024-01-31T23:02:00.000000Z")
    assert report["months"] == [{"month": "2024-01", "event_type": "lesson_completed", "export": 2, "table": None}]


def test_rejects_are_counted_by_reason_with_a_bounded_number_of_samples(home: Path, tmp_path: Path) -> None:
    lines = [make_event(0), *["not json"] * (SAMPLES_A_REASON + 5), '{"event_type": "x"}']
    findings = staged_findings(write_export(tmp_path / "h.jsonl", lines))
    first, second = report_of(findings)["rejects_by_reason"]
    assert (first["code"], first["count"]) == ("malformed_json", SAMPLES_A_REASON + 5)
    assert len(first["samples"]) == SAMPLES_A_REASON and first["samples"][0]["line"] == 2
    assert (second["code"], second["count"], second["samples"][0]["raw"]) == ("missing_time", 1, '{"event_type": "x"}')
    write_rejects(findings, tmp_path / "rejects.jsonl")
    written = [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()]
    assert [reject["line"] for reject in written] == list(range(2, SAMPLES_A_REASON + 8))


def test_conflicts_within_the_export_are_told_field_by_field(home: Path, tmp_path: Path) -> None:
    lines = [make_event(0, event_id="own"), make_event(0, event_id="own", course_id="course-2")]
    conflict = report_of(staged_findings(write_export(tmp_path / "h.jsonl", lines)))["conflicts"][0]
    assert (conflict["line"], conflict["fields"]) == (2, {"course_id": ["course-1", "course-2"]})


def test_a_comparison_is_told_by_month_and_type(home: Path, tmp_path: Path) -> None:
    findings = staged_findings(write_export(tmp_path / "h.jsonl", [make_event(0)]))
    counts = {"new": 1, "already_there": 0, "conflicting": 0}
    findings.comparison = {("2024-01", "lesson_completed"): counts}
    report = report_of(findings)
    assert report["months"][0] | counts == report["months"][0]
    assert report["not_checked"] == ["nothing was loaded, so nothing in the table was verified"]


def test_a_verification_that_failed_is_told_with_its_differences(home: Path) -> None:
    findings = begin_findings(Request(file="x"), is_dry_run=False)
    difference = Difference("h.jsonl", 7, "payload.score", 1, 2)
    findings.verification = Verification(differences=[difference], months=[("2024-01", "x", 2, 1)])
    findings.verification.add_check("content", False, "1 of 2 rows")
    report = report_of(findings, "failed")
    assert report["verification"]["status"] == "failed" and report["verification"]["differences"][0]["line"] == 7
    assert report["months"] == [{"month": "2024-01", "event_type": "x", "export": 2, "table": 1}]
    assert "content: 1 of 2 rows" in report["checked"]


def test_undo_names_the_run_and_only_when_it_added_rows(target: str, tmp_path: Path) -> None:
    run = begin(target, write_export(tmp_path / "h.jsonl", map(make_event, range(3))))
    findings = Findings(Request(file="h.jsonl"), datetime.now(UTC), False, run.plan, run.folder, run.manifest, run.run)
    findings.counts = run.counts()
    assert report_of(findings)["undo"] is None
    findings.counts = run.load()
    assert report_of(findings)["undo"] == f"hindcast rollback --run {run.run.run_id} --apply"


def test_the_name_says_which_run_or_which_dry_run(home: Path, tmp_path: Path) -> None:
    findings = staged_findings(write_export(tmp_path / "h.jsonl", [make_event(0)]))
    assert findings.plan
    assert findings.name == f"dry-run-{findings.plan.plan_hash[:12]}-{findings.started_at:%Y%m%dT%H%M%S}"


def test_seconds_run_from_the_first_byte_to_the_verification_and_steps_add_up() -> None:
    findings = begin_findings(Request(file="x"), is_dry_run=False)
    findings.first_byte_at, findings.verified_at = 1_000.0, 1_002.5
    assert report_of(findings)["seconds"] == 2.5
    for _ in range(2):
        with pytest.raises(KeyError), timed(findings, "load"):
            raise KeyError("a step that fails has taken time too")
    assert 0 <= report_of(findings)["timings"]["load"] < 1
