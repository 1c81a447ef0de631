"""The gate on frames fails closed, names the failing rows, and merges batches."""

import dataclasses
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from gate_inputs import BOUNDS, events, not_null, unmet, write_suite

from expectations.engine import load_great_expectations
from expectations.gate import GateResult, merge_results, run_frame_gate
from expectations.suite import SHIPPED_DIRECTORY, load_suite
from expectations.verdict import read_check


def _facts(**changes: Any) -> pd.DataFrame:
    facts = dict.fromkeys(
        ["rejected", "skipped", "out_of_window", "duplicate", "conflict", "unaccounted", "damaged_parts"], 0
    )
    facts |= {"lines": 10, "staged": 10, "reject_share": 0.0, "duplicate_share": 0.0}
    times = {name: pd.Timestamp("2024-01-01", tz="UTC") for name in ("first_at", "last_at")}
    frame = pd.DataFrame([facts | times | changes])
    return frame.assign(**{name: pd.to_datetime(frame[name], utc=True) for name in times})


def test_good_events_pass() -> None:
    result = run_frame_gate("analytics_history", events(), BOUNDS)
    assert (result.status, result.rows, unmet(result)) == ("passed", 20, {})


@pytest.mark.parametrize(
    ("rule", "column", "value", "shown"),
    [
        ("EV-001", "event_id", None, "null"),
        (
            "EV-002",
            "event_id",
            "018cc251-f400-4000-8000-000000000001",
            "018cc251-f400-4000-8000-000000000001",
        ),
        ("EV-003", "created_at", pd.NaT, "null"),
        ("EV-004", "created_at", pd.Timestamp("2030-01-01", tz="UTC"), "2030-01-01 00:00:00+00:00"),
        ("EV-005", "event_type", None, "null"),
        ("EV-006", "event_type", "", ""),
        ("EV-009", "payload", None, "null"),
        ("EV-010", "payload", '"x"', '"x"'),
        ("EV-011", "course_id", "é" * 257, "é" * 200 + "… (257 characters)"),
    ],
)
def test_bad_event_fails_its_rule_and_is_named_by_part_and_line(
    rule: str, column: str, value: object, shown: str
) -> None:
    frame = events(**{column: {6: value}})
    frame.index = frame.index + 100
    result = run_frame_gate("analytics_history", frame, BOUNDS)
    (check,) = [check for check in result.checks if check.status != "passed"]
    assert (result.status, check.rule, check.unexpected) == ("failed", rule, 1)
    assert dataclasses.astuple(check.samples[0]) == (shown, "history.jsonl", 7)


def test_broken_warning_lets_the_gate_go_on_and_shows_no_control_characters() -> None:
    frame = events(event_type={3: "quiz\x1b[31m"})
    result = run_frame_gate("analytics_history", frame, BOUNDS)
    assert (result.status, unmet(result)) == ("warned", {"EV-007": "warned"})
    assert [sample.value for check in result.checks for sample in check.samples] == [
        "quiz\\x1b[31m",  # by the rule on control characters
        "quiz\\x1b[31m",  # by the rule on known types, which tolerates it
    ]


def test_samples_stay_few_when_every_row_fails() -> None:
    frame = events(5_000)
    frame["payload"] = frame["payload"].where(frame["line"] < 0)
    result = run_frame_gate("analytics_history", frame, BOUNDS)
    (check,) = [check for check in result.checks if check.status == "failed"]
    assert check.observed == "5,000 of 5,000 rows (100 %)"
    assert [sample.line for sample in check.samples] == list(range(1, 21))
    assert len(json.dumps(dataclasses.asdict(result))) < 20_000


def test_check_that_crashes_fails_the_gate_even_at_warning(tmp_path: Path) -> None:
    directory = write_suite(tmp_path, not_null("no_such_column", severity="warning"))
    result = run_frame_gate("mine", events(), {}, directory)
    assert (result.status, result.checks[0].status) == ("failed", "error")
    assert "no_such_column" in result.checks[0].observed


def test_check_without_a_result_is_an_error() -> None:
    expectation = load_suite("rollups", {}, None).expectations[0]
    assert read_check(expectation, None, 1, lambda facts: []).status == "error"


def test_balanced_export_passes() -> None:
    assert run_frame_gate("export", _facts(), BOUNDS).status == "passed"


@pytest.mark.parametrize(
    ("changes", "statuses"),
    [
        ({"staged": 0, "first_at": pd.NaT, "last_at": pd.NaT}, {"EX-001": "failed"}),
        ({"unaccounted": -1}, {"EX-002": "failed"}),
        ({"reject_share": 0.011}, {"EX-003": "failed"}),
        ({"duplicate_share": 0.5, "conflict": 1}, {"EX-004": "warned", "EX-005": "warned"}),
        ({"first_at": pd.Timestamp("1969-12-31T23:59:59Z")}, {"EX-006": "failed"}),
        ({"last_at": pd.Timestamp("2025-01-02", tz="UTC")}, {"EX-007": "failed"}),
        ({"reject_share": None}, {"EX-010": "failed"}),
    ],
)
def test_export_gate_judges_the_facts(changes: dict[str, Any], statuses: dict[str, str]) -> None:
    assert unmet(run_frame_gate("export", _facts(**changes), BOUNDS)) == statuses


def test_export_gate_says_the_fact_it_judged() -> None:
    result = run_frame_gate("export", _facts(reject_share=0.25), BOUNDS)
    assert [check.observed for check in result.checks if check.rule == "EX-003"] == ["reject_share = 0.25"]


def test_differing_rollup_is_named() -> None:
    frame = pd.DataFrame({"rollup": ["a", "b"], "buckets": 1, "rows": 9, "differing": [0, 4], "missing": 0})
    result = run_frame_gate("rollups", frame, {})
    assert [sample.value for check in result.checks for sample in check.samples] == ["4 at rollup=b"]
    assert result.status == "failed"


def test_no_rollup_compared_is_a_failure() -> None:
    frame = pd.DataFrame({"rollup": ["a"], "buckets": 1, "rows": 9, "differing": 0, "missing": 0}).head(0)
    assert run_frame_gate("rollups", frame, {}).status == "failed"


def test_threads_do_not_mix_verdicts() -> None:
    frames = [events(200, event_type=dict.fromkeys(range(bad))) for bad in (0, 1, 7, 0, 50, 3, 0, 2)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda frame: run_frame_gate("analytics_history", frame, BOUNDS), frames))
    unexpected = [sum(check.unexpected for check in result.checks) for result in results]
    assert unexpected == [0, 1, 7, 0, 50, 3, 0, 2]


def test_rows_are_not_hashed_for_a_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    from great_expectations.execution_engine import pandas_execution_engine

    hashed: list[object] = []
    monkeypatch.setattr(pandas_execution_engine, "hash_pandas_dataframe", hashed.append)
    assert run_frame_gate("analytics_history", events(), BOUNDS).status == "passed"
    assert (hashed, pandas_execution_engine.HASH_THRESHOLD) == ([], 0)


def test_an_expectation_is_written_out_once_while_its_arguments_are_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    gx = load_great_expectations()
    expectation = gx.expectations.ExpectColumnValuesToBeBetween(column="line", min_value=1)
    written_out: list[object] = []
    ask = type(expectation).dict

    def count(self: object, **named: object) -> object:
        written_out.append(self)
        return ask(self, **named)

    monkeypatch.setattr(type(expectation), "dict", count)
    assert expectation._get_runtime_kwargs()["min_value"] == 1
    assert len(written_out) == 1
    expectation.min_value = 2
    assert expectation._get_runtime_kwargs()["min_value"] == expectation.configuration.kwargs["min_value"] == 2


def test_gate_prints_and_logs_nothing(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    run_frame_gate("analytics_history", events(), BOUNDS)
    assert (capfd.readouterr(), caplog.records) == (("", ""), [])


def test_importing_the_gate_does_not_import_great_expectations() -> None:
    code = "import sys, expectations.gate; sys.exit('great_expectations' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=SHIPPED_DIRECTORY.parent, check=False).returncode == 0


def test_merged_batches_have_the_worst_status_and_the_sums() -> None:
    batches = [events(), events(event_type={0: None, 1: None}), events(event_type={5: "a\tb"})]
    merged = merge_results([run_frame_gate("analytics_history", frame, BOUNDS) for frame in batches])
    checks = {check.rule: check for check in merged.checks}
    assert (merged.status, merged.rows, len(merged.checks)) == ("failed", 60, 15)
    assert (checks["EV-005"].status, checks["EV-005"].observed) == ("failed", "2 of 60 rows (3.33 %)")
    assert (checks["EV-007"].status, checks["EV-007"].unexpected) == ("warned", 1)


def test_nothing_or_different_suites_cannot_be_merged() -> None:
    other = GateResult("other", "passed", 0, [], 0.0)
    for results in ([], [other, dataclasses.replace(other, suite="another")]):
        with pytest.raises(ValueError, match="merge"):
            merge_results(results)
