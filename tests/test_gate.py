"""The gate fails closed, names the failing rows, and says the same of a frame and of a view."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pandas as pd
import psycopg
import pytest

from expectations.gate import GateResult, TargetView, merge_results, run_frame_gate, run_table_gate
from expectations.suite import SHIPPED_DIRECTORY, load_suite
from expectations.verdict import read_check
from hindcast.errors import ConfigurationError, TargetError, TransientError

BOUNDS = {
    "window_start": datetime(1970, 1, 1, tzinfo=UTC),
    "window_end": datetime(2025, 1, 1, tzinfo=UTC),
    "latest": datetime(2025, 1, 1, tzinfo=UTC),
    "reject_share_limit": 0.01,
    "loaded_rows": 20,
}


def _events(rows: int = 20, **changes: dict[int, Any]) -> pd.DataFrame:
    """Good staged events; `changes` are values by row, for a column."""
    columns: dict[str, list[Any]] = {
        "event_id": [f"018cc251-f400-8000-8000-{row:012x}" for row in range(rows)],
        "created_at": list(pd.date_range("2024-01-01", periods=rows, freq="s", tz="UTC")),
        "tenant": [""] * rows,
        "event_type": ["lesson_started"] * rows,
        "user_id": [f"learner-{row}" for row in range(rows)],
        "anonymous_id": [None] * rows,
        "session_id": [None] * rows,
        "course_id": ["course-1"] * rows,
        "lesson_id": [None] * rows,
        "module_id": [None] * rows,
        "user_agent": [None] * rows,
        "payload": ['{"progress":0.5}'] * rows,
        "source_event_id": [None] * rows,
        "part": ["history.jsonl"] * rows,
        "line": list(range(1, rows + 1)),
    }
    for column, values in changes.items():
        for row, value in values.items():
            columns[column][row] = value
    text = pd.StringDtype("pyarrow", na_value=np.nan)
    types = {"created_at": "datetime64[us, UTC]", "line": "int64"}
    return pd.DataFrame(
        {name: pd.Series(values, dtype=types.get(name, text)) for name, values in columns.items()}
    )


def _facts(**changes: Any) -> pd.DataFrame:
    facts = dict.fromkeys(["rejected", "skipped", "out_of_window", "duplicate", "conflict", "unaccounted"], 0)
    facts |= {"lines": 10, "staged": 10, "reject_share": 0.0, "duplicate_share": 0.0}
    times = {name: pd.Timestamp("2024-01-01", tz="UTC") for name in ("first_at", "last_at")}
    frame = pd.DataFrame([facts | times | changes])
    return frame.assign(**{name: pd.to_datetime(frame[name], utc=True) for name in times})


def _statuses(result: GateResult) -> dict[str, str]:
    return {check.rule: check.status for check in result.checks if check.status != "passed"}


def _write_suite(directory: Path, *expectations: dict[str, Any], **fields: Any) -> Path:
    suite = {"name": "mine", "expectations": list(expectations)} | fields
    (directory / "mine.json").write_text(json.dumps(suite), encoding="utf-8")
    return directory


def _not_null(column: str = "event_id", **changes: Any) -> dict[str, Any]:
    expectation = {"type": "expect_column_values_to_not_be_null", "severity": "critical"}
    return expectation | {"meta": {"rule": "MY-1"}, "kwargs": {"column": column}} | changes


def test_good_events_pass() -> None:
    result = run_frame_gate("analytics_history", _events(), BOUNDS)
    assert (result.status, result.rows, _statuses(result)) == ("passed", 20, {})


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
    frame = _events(**{column: {6: value}})
    frame.index = frame.index + 100
    result = run_frame_gate("analytics_history", frame, BOUNDS)
    (check,) = [check for check in result.checks if check.status != "passed"]
    assert (result.status, check.rule, check.unexpected) == ("failed", rule, 1)
    assert dataclasses.astuple(check.samples[0]) == (shown, "history.jsonl", 7)


def test_broken_warning_lets_the_gate_go_on_and_shows_no_control_characters() -> None:
    frame = _events(event_type={3: "quiz\x1b[31m"})
    result = run_frame_gate("analytics_history", frame, BOUNDS)
    assert (result.status, _statuses(result)) == ("warned", {"EV-007": "warned"})
    assert [sample.value for check in result.checks for sample in check.samples] == [
        "quiz\\x1b[31m",  # by the rule on control characters
        "quiz\\x1b[31m",  # by the rule on known types, which tolerates it
    ]


def test_samples_stay_few_when_every_row_fails() -> None:
    frame = _events(5_000)
    frame["payload"] = frame["payload"].where(frame["line"] < 0)
    result = run_frame_gate("analytics_history", frame, BOUNDS)
    (check,) = [check for check in result.checks if check.status == "failed"]
    assert check.observed == "5,000 of 5,000 rows (100 %)"
    assert [sample.line for sample in check.samples] == list(range(1, 21))
    assert len(json.dumps(dataclasses.asdict(result))) < 20_000


def test_check_that_crashes_fails_the_gate_even_at_warning(tmp_path: Path) -> None:
    directory = _write_suite(tmp_path, _not_null("no_such_column", severity="warning"))
    result = run_frame_gate("mine", _events(), {}, directory)
    assert (result.status, result.checks[0].status) == ("failed", "error")
    assert "no_such_column" in result.checks[0].observed


def test_check_without_a_result_is_an_error() -> None:
    expectation = load_suite("rollups", {}, None).expectations[0]
    assert read_check(expectation, None, 1, lambda facts: []).status == "error"


@pytest.mark.parametrize(
    ("expectations", "fields", "place"),
    [
        ([], {}, r"\$\.expectations: empty"),
        ([_not_null(meta={})], {}, r"expectations\[0\]\.meta\.rule"),
        ([_not_null(), _not_null()], {}, r"expectations\[1\]\.meta\.rule: 'MY-1' is used twice"),
        ([_not_null(severity="fatal")], {}, r"'fatal' - at `\$\.expectations\[0\]\.severity`"),
        ([_not_null(severty="warning")], {}, r"unknown field `severty`"),
        ([_not_null(kwargs={"column": {"$PARAMETER": "nope"}})], {}, r"kwargs\.column: no value .*'nope'"),
        ([_not_null(kwargs={"column": "a", "result_format": "COMPLETE"})], {}, "set by the gate"),
        ([_not_null()], {"name": "other"}, "expected 'mine'"),
    ],
)
def test_faulty_suite_is_refused_with_file_and_place(
    tmp_path: Path, expectations: list[dict[str, Any]], fields: dict[str, Any], place: str
) -> None:
    directory = _write_suite(tmp_path, *expectations, **fields)
    with pytest.raises(ConfigurationError, match=rf"mine\.json.*{place}"):
        load_suite("mine", {}, directory)


@pytest.mark.parametrize(
    "text", ["{", '{"name": NaN}', '{"name": "mine", "name": "mine"}', "[" * 10_000, "3"]
)
def test_file_that_is_no_suite_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.json").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"mine\.json"):
        load_suite("mine", {}, tmp_path)


def test_parameter_without_value_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no value for \\$PARAMETER 'window_start'"):
        load_suite("analytics_history", BOUNDS | {"window_start": None}, None)


def test_suite_missing_from_own_directory_is_not_taken_from_the_shipped_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"analytics_history\.json: no such suite"):
        run_frame_gate("analytics_history", _events(), BOUNDS, tmp_path)


@pytest.mark.parametrize(
    "expectation",
    [
        _not_null(type="expect_column_values_to_not_be_nul"),
        _not_null(kwargs={}),
        _not_null(kwargs={"column": "event_id", "most": 0.5}),
        _not_null(kwargs={"column": "event_id", "mostly": 50}),
    ],
    ids=["misspelt type", "missing argument", "unknown argument", "argument out of range"],
)
def test_what_great_expectations_would_drop_is_refused(tmp_path: Path, expectation: dict[str, Any]) -> None:
    directory = _write_suite(tmp_path, expectation)
    with pytest.raises(ConfigurationError, match=r"mine\.json at \$\.expectations\[0\] \(MY-1\)"):
        run_frame_gate("mine", _events(), {}, directory)


@pytest.mark.parametrize("suite", sorted(path.stem for path in SHIPPED_DIRECTORY.glob("*.json")))
def test_shipped_suite_explains_every_rule(suite: str) -> None:
    loaded = load_suite(suite, BOUNDS, None)
    assert all(expectation.description != expectation.type for expectation in loaded.expectations)


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
    assert _statuses(run_frame_gate("export", _facts(**changes), BOUNDS)) == statuses


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
    frames = [_events(200, event_type=dict.fromkeys(range(bad))) for bad in (0, 1, 7, 0, 50, 3, 0, 2)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda frame: run_frame_gate("analytics_history", frame, BOUNDS), frames))
    unexpected = [sum(check.unexpected for check in result.checks) for result in results]
    assert unexpected == [0, 1, 7, 0, 50, 3, 0, 2]


def test_rows_are_not_hashed_for_a_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    from great_expectations.execution_engine import pandas_execution_engine

    hashed: list[object] = []
    monkeypatch.setattr(pandas_execution_engine, "hash_pandas_dataframe", hashed.append)
    assert run_frame_gate("analytics_history", _events(), BOUNDS).status == "passed"
    assert (hashed, pandas_execution_engine.HASH_THRESHOLD) == ([], 0)


def test_gate_prints_and_logs_nothing(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    run_frame_gate("analytics_history", _events(), BOUNDS)
    assert (capfd.readouterr(), caplog.records) == (("", ""), [])


def test_importing_the_gate_does_not_import_great_expectations() -> None:
    code = "import sys, expectations.gate; sys.exit('great_expectations' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=SHIPPED_DIRECTORY.parent, check=False).returncode
        == 0
    )


def test_merged_batches_have_the_worst_status_and_the_sums() -> None:
    batches = [_events(), _events(event_type={0: None, 1: None}), _events(event_type={5: "a\tb"})]
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


@pytest.fixture
def target(empty_database: str) -> Iterator[tuple[psycopg.Connection[Any], str]]:
    """A database with `events`, shaped like staged events, and a view of the rows of one run."""
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute(
            """
            CREATE TABLE events (
                event_id text, created_at timestamptz, tenant text, event_type text, user_id text,
                anonymous_id text, session_id text, course_id text, lesson_id text, module_id text,
                user_agent text, payload text, source_event_id text, part text, line bigint
            );
            CREATE VIEW hindcast_run_events AS
            SELECT event_id::uuid, created_at, event_type, 'analytics_history'::text AS source, tenant,
                user_id, course_id, lesson_id, payload::jsonb, line AS import_chunk_id
            FROM events WHERE part = current_setting('hindcast.run_id', true);
            """
        )
        yield connection, empty_database


def _insert(connection: psycopg.Connection[Any], frame: pd.DataFrame) -> None:
    rows = frame.astype(object).where(frame.notna(), None)
    with connection.cursor().copy("COPY events FROM STDIN") as copy:
        for row in rows.itertuples(index=False):
            copy.write_row(row)


def test_loaded_rows_of_the_run_pass(target: tuple[psycopg.Connection[Any], str]) -> None:
    connection, url = target
    _insert(connection, _events())
    _insert(connection, _events(part=dict.fromkeys(range(20), "another run")))
    view = TargetView(url, "hindcast_run_events", {"hindcast.run_id": "history.jsonl"})
    result = run_table_gate("loaded", view, BOUNDS)
    assert (result.status, result.rows, _statuses(result)) == ("passed", 20, {})


def test_lost_and_damaged_rows_fail_and_are_named_by_id(target: tuple[psycopg.Connection[Any], str]) -> None:
    connection, url = target
    _insert(connection, _events(19, event_type={4: ""}))
    view = TargetView(url, "hindcast_run_events", {"hindcast.run_id": "history.jsonl"})
    result = run_table_gate("loaded", view, BOUNDS)
    checks = {check.rule: check for check in result.checks if check.status != "passed"}
    assert (list(checks), checks["LD-001"].observed) == (["LD-001", "LD-006"], "19")
    assert checks["LD-006"].samples[0].value == " at event_id=018cc251-f400-8000-8000-000000000004"


def test_suite_says_the_same_of_a_frame_and_of_a_table(target: tuple[psycopg.Connection[Any], str]) -> None:
    connection, url = target
    frame = _events(
        event_id={0: None, 1: "zz"},
        created_at={2: None, 3: pd.Timestamp("1969-12-31", tz="UTC"), 4: BOUNDS["window_end"]},
        event_type={5: "", 6: "x" * 257, 7: "𝄞" * 256, 8: "a\x7fb", 9: "a\nb", 10: "é\x85"},
        payload={11: "3", 12: "[]"},
        course_id={13: "c" * 257},
        user_id=dict.fromkeys(range(11)),
        line={14: 0},
    )
    _insert(connection, frame)
    on_table = run_table_gate("analytics_history", TargetView(url, "events", {}), BOUNDS)
    on_frame = run_frame_gate("analytics_history", frame, BOUNDS)
    facts = [
        [(check.rule, check.status, check.observed) for check in on.checks] for on in (on_frame, on_table)
    ]
    assert facts[0] == facts[1]
    assert len(_statuses(on_frame)) == 10


def test_gate_session_cannot_write(target: tuple[psycopg.Connection[Any], str], tmp_path: Path) -> None:
    connection, url = target
    connection.execute("CREATE SEQUENCE written; CREATE VIEW sly AS SELECT nextval('written') AS event_id")
    with pytest.raises(TargetError, match="read-only"):
        run_table_gate("mine", TargetView(url, "sly", {}), {}, _write_suite(tmp_path, _not_null()))
    assert connection.execute("SELECT is_called FROM written").fetchone() == (False,)


def test_gate_session_is_in_utc_and_leaves_no_session_behind(
    target: tuple[psycopg.Connection[Any], str], tmp_path: Path
) -> None:
    connection, url = target
    connection.execute(
        "CREATE VIEW zone AS SELECT nullif(current_setting('TimeZone') = 'UTC', false) AS event_id"
    )
    result = run_table_gate(
        "mine", TargetView(url, "zone", {"timezone": "Asia/Tokyo"}), {}, _write_suite(tmp_path, _not_null())
    )
    assert result.status == "passed"
    sessions = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    deadline = monotonic() + 10  # a server process ends a moment after its connection
    while connection.execute(sessions).fetchone() != (0,):
        assert monotonic() < deadline


def test_view_that_is_missing_is_an_error_of_the_target(target: tuple[psycopg.Connection[Any], str]) -> None:
    with pytest.raises(TargetError, match=r"public\.no_such_view"):
        run_table_gate("loaded", TargetView(target[1], "no_such_view", {}), BOUNDS)


def test_target_that_does_not_answer_is_transient_and_the_password_stays_secret() -> None:
    url = "postgresql://u:s3$cret%21@127.0.0.1:1/nothing"
    view = TargetView(url, "hindcast_run_events", {})
    with pytest.raises(TransientError) as caught:
        run_table_gate("loaded", view, BOUNDS)
    assert "cret" not in f"{caught.value} {view!r}"
