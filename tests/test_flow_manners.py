"""Manners end to end: what a backfill says of preflight, pace and kept files, and what stops it before it reads."""

from pathlib import Path

import pytest
from flow_runs import backfill
from loading import count_events, make_event, query, write_export

pytest_plugins = ["loading_fixtures", "flow_fixtures"]
pytestmark = pytest.mark.flow


def test_a_backfill_tells_its_preflight_its_pace_and_what_it_kept(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HINDCAST_KEEP_EXPORTS", str(tmp_path / "kept"))
    export = write_export(tmp_path / "history.jsonl", map(make_event, range(40)))
    report = backfill(export).report
    assert report["status"] == "succeeded"
    assert {check["status"] for check in report["preflight"]} == {"passed"}
    assert {"pooler", "privileges", "staging", "months"} <= {check["check"] for check in report["preflight"]}
    assert report["governor"]["status"] == "on" and not report["governor"]["failures"]
    copy = tmp_path / "kept" / "analytics_history" / "2024" / "history.jsonl"
    assert [row["kept_as"] for row in report["kept"]] == [str(copy)]
    assert copy.read_bytes() == export.read_bytes()
    assert query(database, "SELECT kept_as FROM import_parts") == [(str(copy),)]
    page = Path(report["report_path"]).read_text()
    assert "no limit was crossed" in page and f"{copy}, read back and equal" in page


def test_what_cannot_be_kept_fails_nothing(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in-the-way").write_text("")
    monkeypatch.setenv("HINDCAST_KEEP_EXPORTS", str(tmp_path / "in-the-way"))
    outcome = backfill(write_export(tmp_path / "history.jsonl", map(make_event, range(40))))
    assert outcome.exit_code == 0 and outcome.report["status"] == "succeeded"
    assert outcome.report["kept"][0]["status"] == "failed" and count_events(database) == 40


def test_a_default_partition_stops_a_backfill_before_anything_is_read(database: str, tmp_path: Path) -> None:
    query(database, "CREATE TABLE leftovers PARTITION OF analytics_events DEFAULT")
    outcome = backfill(write_export(tmp_path / "history.jsonl", map(make_event, range(40))))
    assert outcome.exit_code == 1 and outcome.report["lines"] is None
    assert outcome.report["error"].startswith("preflight: leftovers is a DEFAULT partition")
    assert query(database, "SELECT count(*) FROM import_runs") == [(0,)]
