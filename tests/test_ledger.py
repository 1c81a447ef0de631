"""The ledger: which run goes on, which is refused, and what is found again later."""

from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from loading import begin, load, make_event, query, stage, write_export
from psycopg.rows import dict_row

from hindcast.database import connect
from hindcast.errors import ConfigurationError, ExportError, TransientError
from hindcast.ledger import (
    Counts,
    find_run,
    finish_run,
    iter_rejects,
    list_conflicts,
    list_rejects,
    list_runs,
    load_run,
    open_run,
    record_gates,
    record_manifest,
)
from hindcast.settings import load_settings

pytest_plugins = ["loading_fixtures"]

LINES = [make_event(0), "{bad", make_event(1), "", "[1]", make_event(2)]


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return write_export(tmp_path / "export.jsonl", LINES)


def options(**more: object) -> dict[str, object]:
    return {"format": "analytics_history", "chunk": 2} | more


def test_a_run_that_succeeded_or_failed_is_not_resumed(target: str, export: Path) -> None:
    runs = []
    for status in ("succeeded", "failed", "rolled_back", "interrupted"):
        begun = begin(target, export, **options())
        begun.load()
        begun.finish(status)
        runs.append(begun.run.run_id)
    assert len(set(runs)) == 4
    assert begin(target, export, **options()).run.run_id == runs[-1]


def test_a_run_left_running_by_a_killed_process_is_resumed(target: str, export: Path) -> None:
    first = begin(target, export, **options())
    first.load(1)
    again = begin(target, export, **options())
    assert (again.run.run_id, again.run.attempts) == (first.run.run_id, 2)
    assert again.run.committed == {1}


def test_another_plan_for_the_same_export_is_another_run(target: str, export: Path) -> None:
    first = begin(target, export, **options())
    others = [begin(target, export, **options(**more)) for more in ({"chunk": 3}, {"on_conflict": "replace"})]
    assert len({first.run.run_id, *(other.run.run_id for other in others)}) == 3


def test_a_resumed_run_refuses_an_export_that_changed_and_names_the_file(target: str, export: Path) -> None:
    first = begin(target, export, **options())
    write_export(export, [*LINES, make_event(9)])
    with pytest.raises(ExportError, match=rf"export\.jsonl: changed since the unfinished run {first.run.run_id}"):
        begin(target, export, **options())
    assert begin(target, export, is_new_run=True, **options()).run.run_id != first.run.run_id


def test_a_finished_run_does_not_stand_in_the_way_of_a_changed_export(target: str, export: Path) -> None:
    load(target, export, **options())
    write_export(export, [*LINES, make_event(9)])
    assert load(target, export, **options()).counts() == Counts(lines=6, loaded=1, duplicate=3, rejected=2)


def test_opening_the_same_run_at_once_makes_one_run(target: str, export: Path) -> None:
    plan, _, _ = stage(export, **options())
    settings = load_settings()
    with psycopg.connect(target) as other, other.transaction():
        open_run(other, plan, "")
        with pytest.raises(TransientError), connect(target, settings) as connection:
            connection.execute("SET lock_timeout = 100")
            open_run(connection, plan, "")
    assert query(target, "SELECT count(*) FROM import_runs") == [(1,)]


def test_recording_the_manifest_twice_keeps_each_reject_once(target: str, export: Path) -> None:
    begun = begin(target, export, **options())
    with connect(target, load_settings()) as connection:
        record_manifest(connection, begun.run, begun.manifest, begun.folder)
        found = list(list_rejects(connection, begun.run.run_id))
    assert [(r["line"], r["code"], r["raw"]) for r in found] == [
        (2, "malformed_json", "{bad"),
        (5, "not_an_object", "[1]"),
    ]
    assert [tuple(r.values()) for r in found] == list(iter_rejects(begun.manifest, begun.folder))


def test_rejects_hold_no_text_the_database_cannot(target: str, tmp_path: Path) -> None:
    (tmp_path / "export.jsonl").write_bytes(b'\x00{"a":"\x00"}\n\xff\xfe\n{"event_type":"x","time":"\\u0000"}\n')
    begin(target, tmp_path / "export.jsonl", format="analytics_history")
    codes = query(target, "SELECT code FROM import_rejects ORDER BY line")
    assert [code for (code,) in codes] == ["malformed_json", "malformed_json", "invalid_time"]


def test_parts_have_their_lines_and_fingerprints(target: str, export: Path) -> None:
    begin(target, export, **options())
    ((part, size, fingerprint, lines),) = query(target, "SELECT part, size_bytes, fingerprint, lines FROM import_parts")
    assert (part, size, lines) == ("export.jsonl", export.stat().st_size, 6)
    assert fingerprint


def test_a_finished_run_has_its_counts_report_and_gates(target: str, export: Path) -> None:
    begun = begin(target, export, **options())
    counts = begun.load()
    with connect(target, load_settings()) as connection:
        record_gates(connection, begun.run.run_id, [{"suite": "export", "status": "passed"}])
        finish_run(connection, begun.run.run_id, "failed", {"error": "why", "at": begun.plan.latest})
        row = find_run(connection, str(begun.run.run_id))
    assert (row["status"], row["error"], row["counts"]) == ("failed", "why", asdict(counts))
    assert row["gates"] == [{"suite": "export", "status": "passed"}]
    assert row["finished_at"] > row["started_at"]


def test_an_interrupted_run_is_not_finished(target: str, export: Path) -> None:
    begun = begin(target, export, **options())
    begun.finish("interrupted")
    assert query(target, "SELECT status, finished_at FROM import_runs") == [("interrupted", None)]


def test_a_run_is_found_by_the_beginning_of_its_id(target: str, export: Path) -> None:
    begun = load(target, export, **options())
    with connect(target, load_settings()) as connection:
        run, row = load_run(connection, str(begun.run.run_id)[:6].upper())
        assert run.run_id == row["run_id"] == begun.run.run_id
        assert run.committed == {0, 1, 2}
        assert [r["run_id"] for r in list_runs(connection, 5)] == [begun.run.run_id]


def test_a_run_that_is_not_there_or_not_the_only_one_is_refused(target: str, export: Path) -> None:
    for _ in range(2):
        load(target, export, **options())
    with connect(target, load_settings()) as connection:
        with pytest.raises(ConfigurationError, match="no such run"):
            find_run(connection, str(uuid4()))
        with pytest.raises(ConfigurationError, match="several runs begin so"):
            find_run(connection, "")


def test_conflicts_are_listed_in_file_order(target: str, tmp_path: Path) -> None:
    records = [make_event(n, event_id="own") for n in range(4)]
    begun = load(target, write_export(tmp_path / "export.jsonl", records), chunk=1)
    with connect(target, load_settings()) as connection:
        found = list_conflicts(connection, begun.run.run_id, limit=2)
    assert [(c["line"], c["against"]) for c in found] == [
        (2, "export.jsonl line 1"),
        (3, "export.jsonl line 1"),
    ]


def test_chunks_say_where_their_lines_are(target: str, export: Path) -> None:
    load(target, export, **options())
    data = export.read_bytes()
    with psycopg.connect(target, row_factory=dict_row) as connection:
        chunks = connection.execute("SELECT * FROM import_chunks ORDER BY chunk_number").fetchall()
    assert [(c["first_line"], c["last_line"]) for c in chunks] == [(1, 2), (3, 5), (6, 6)]
    ranges = [data[c["first_byte"] : c["last_byte"]].count(b"\n") for c in chunks]
    assert sum(ranges) == 6
    assert (chunks[0]["first_byte"], chunks[-1]["last_byte"]) == (0, len(data))
