"""A gate as a table: what is wrong comes first, with part and line."""

from typing import Any

from hindcast.report import describe_gate, tabulate_gate


def make_check(rule: str, status: str, *samples: dict[str, Any]) -> dict[str, Any]:
    names = {"rule": rule, "description": f"{rule} holds", "severity": "critical", "status": status}
    return names | {"observed": f"{len(samples)} wrong", "samples": list(samples)}


def test_failed_checks_come_first_followed_by_their_samples_with_line_numbers() -> None:
    sample = {"value": "2023-02-29", "part": "a.jsonl", "line": 803}
    gate = {
        "suite": "x",
        "status": "failed",
        "rows": 9,
        "checks": [make_check("A", "passed"), make_check("B", "failed", sample)],
    }
    rows = tabulate_gate(gate)
    assert [(row["status"], row["rule"], row["found"], row["where"]) for row in rows] == [
        ("failed", "B", "1 wrong", ""),
        ("sample", "B", "2023-02-29", "a.jsonl line 803"),
        ("passed", "A", "0 wrong", ""),
    ]
    assert {tuple(row) for row in rows} == {("status", "rule", "found", "where", "check", "severity")}
    assert describe_gate(gate) == "x failed: 1 of 2 checks passed on 9 rows"
    earlier = gate | {"judged_at": "2026-01-02T03:04:05+00:00"}
    assert describe_gate(earlier) == "x failed: 1 of 2 checks passed on 9 rows, judged 2026-01-02 03:04:05 UTC"
