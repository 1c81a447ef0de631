"""The gate on a view of a real PostgreSQL: read-only, and of one mind with the gate on frames."""

from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pandas as pd
import psycopg
import pytest
from gate_inputs import BOUNDS, events, not_null, unmet, write_suite

from expectations.gate import TargetView, run_frame_gate, run_table_gate
from hindcast.errors import TargetError, TransientError


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
    _insert(connection, events())
    _insert(connection, events(part=dict.fromkeys(range(20), "another run")))
    view = TargetView(url, "hindcast_run_events", {"hindcast.run_id": "history.jsonl"})
    result = run_table_gate("loaded", view, BOUNDS)
    assert (result.status, result.rows, unmet(result)) == ("passed", 20, {})


def test_lost_and_damaged_rows_fail_and_are_named_by_id(target: tuple[psycopg.Connection[Any], str]) -> None:
    connection, url = target
    _insert(connection, events(19, event_type={4: ""}))
    view = TargetView(url, "hindcast_run_events", {"hindcast.run_id": "history.jsonl"})
    result = run_table_gate("loaded", view, BOUNDS)
    checks = {check.rule: check for check in result.checks if check.status != "passed"}
    assert (list(checks), checks["LD-001"].observed) == (["LD-001", "LD-006"], "19")
    assert checks["LD-006"].samples[0].value == " at event_id=018cc251-f400-8000-8000-000000000004"


def test_suite_says_the_same_of_a_frame_and_of_a_table(target: tuple[psycopg.Connection[Any], str]) -> None:
    connection, url = target
    frame = events(
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
    facts = [[(check.rule, check.status, check.observed) for check in on.checks] for on in (on_frame, on_table)]
    assert facts[0] == facts[1]
    assert len(unmet(on_frame)) == 10


def test_a_view_without_faults_is_read_once(target: tuple[psycopg.Connection[Any], str]) -> None:
    connection, url = target
    _insert(connection, events())
    run_table_gate("loaded", TargetView(url, "hindcast_run_events", {"hindcast.run_id": "history.jsonl"}), BOUNDS)
    readings = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'events'"
    deadline = monotonic() + 10  # a session tells what it read when it ends
    while (found := connection.execute(readings).fetchone()) != (2,):  # its first row, and all that is counted
        assert monotonic() < deadline, found


def test_a_metric_that_cannot_be_had_is_an_error_and_the_others_are_counted(
    target: tuple[psycopg.Connection[Any], str], tmp_path: Path
) -> None:
    connection, url = target
    _insert(connection, events())
    suite = write_suite(tmp_path, not_null(), not_null("no_such_column", meta={"rule": "MY-2"}))
    result = run_table_gate("mine", TargetView(url, "events", {}), {}, suite)
    assert [(check.rule, check.status) for check in result.checks] == [("MY-1", "passed"), ("MY-2", "error")]


def test_a_check_that_the_server_cannot_compute_is_an_error_and_the_rows_are_counted(
    target: tuple[psycopg.Connection[Any], str], tmp_path: Path
) -> None:
    connection, url = target
    _insert(connection, events())
    pattern = {"column": "event_type", "regex": "("}
    broken = not_null(type="expect_column_values_to_match_regex", kwargs=pattern, meta={"rule": "MY-2"})
    result = run_table_gate("mine", TargetView(url, "events", {}), {}, write_suite(tmp_path, not_null(), broken))
    assert result.rows == len(events()) and result.status == "failed"
    assert result.checks[1].status == "error"


def test_gate_session_cannot_write(target: tuple[psycopg.Connection[Any], str], tmp_path: Path) -> None:
    connection, url = target
    connection.execute("CREATE SEQUENCE written; CREATE VIEW sly AS SELECT nextval('written') AS event_id")
    with pytest.raises(TargetError, match="read-only"):
        run_table_gate("mine", TargetView(url, "sly", {}), {}, write_suite(tmp_path, not_null()))
    assert connection.execute("SELECT is_called FROM written").fetchone() == (False,)


def test_gate_session_is_in_utc_and_leaves_no_session_behind(
    target: tuple[psycopg.Connection[Any], str], tmp_path: Path
) -> None:
    connection, url = target
    connection.execute("CREATE VIEW zone AS SELECT nullif(current_setting('TimeZone') = 'UTC', false) AS event_id")
    result = run_table_gate(
        "mine", TargetView(url, "zone", {"timezone": "Asia/Tokyo"}), {}, write_suite(tmp_path, not_null())
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
