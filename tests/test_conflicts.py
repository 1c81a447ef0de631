"""Records that contradict a row of the table or another record: kept out, put in its place, or fatal."""

from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
from loading import begin, count_events, load, make_event, query, stage, write_export

from hindcast.conflicts import diff_rows
from hindcast.database import connect
from hindcast.errors import GateError
from hindcast.known import ask_table
from hindcast.ledger import Counts, touched_days
from hindcast.settings import load_settings
from hindcast.staged_rows import StagedRows, read_staged_rows

pytest_plugins = ["loading_fixtures"]

OLD = make_event(1, event_id="own", payload={"score": 1, "exact": 0.5})
OTHER_PAYLOAD = make_event(1, event_id="own", payload={"score": 2, "exact": 0.5}, user_id="someone-else")
OTHER_TIME = make_event(1, event_id="own", payload={"score": 1, "exact": 0.5}, occurred_at="2024-02-03T04:05:06Z")
CONFLICTS = (
    "SELECT line, against, fields, is_replaced, previous_row FROM import_conflicts"
    " JOIN import_runs USING (run_id) ORDER BY started_at, line"
)


@pytest.fixture
def old(target: str, tmp_path: Path) -> str:
    """URL of a database that holds OLD and one event beside; returns the URL."""
    load(target, write_export(tmp_path / "old.jsonl", [make_event(0), OLD]))
    return target


def payload_of_own(url: str) -> list[object]:
    return [p for (p,) in query(url, "SELECT payload FROM analytics_events WHERE source_event_id = 'own'")]


@pytest.mark.parametrize("contradiction", [OTHER_PAYLOAD, OTHER_TIME], ids=["other content", "other time"])
def test_keep_leaves_the_row_as_it_is_and_notes_the_conflict(old: str, tmp_path: Path, contradiction: dict) -> None:
    before = query(old, "SELECT * FROM analytics_events ORDER BY event_id")
    begun = load(old, write_export(tmp_path / "new.jsonl", [contradiction]))
    assert begun.counts() == Counts(lines=1, conflict=1)
    assert query(old, "SELECT * FROM analytics_events ORDER BY event_id") == before
    ((line, against, _, is_replaced, previous),) = query(old, CONFLICTS)
    (event_id,) = query(old, "SELECT event_id FROM analytics_events WHERE source_event_id = 'own'")[0]
    assert (line, against, is_replaced, previous) == (1, f"the row with id {event_id}", False, None)
    assert begun.verify().status == "passed"


def test_a_conflict_says_field_by_field_what_differs(old: str, tmp_path: Path) -> None:
    load(old, write_export(tmp_path / "content.jsonl", [OTHER_PAYLOAD]))
    load(old, write_export(tmp_path / "time.jsonl", [OTHER_TIME]))
    assert [row[2] for row in query(old, CONFLICTS)] == [
        {"user_id": ["learner-1", "someone-else"], "payload.score": [1, 2]},
        {"created_at": ["2024-01-31T23:01:00.000000Z", "2024-02-03T04:05:06.000000Z"]},
    ]


@pytest.mark.parametrize("contradiction", [OTHER_PAYLOAD, OTHER_TIME], ids=["other content", "other time"])
def test_replace_puts_the_new_row_in_and_keeps_the_old_one_whole(old: str, tmp_path: Path, contradiction: dict) -> None:
    ((before,),) = query(old, "SELECT to_jsonb(e) FROM analytics_events AS e WHERE source_event_id = 'own'")
    begun = load(old, write_export(tmp_path / "new.jsonl", [contradiction]), on_conflict="replace")
    assert begun.counts() == Counts(lines=1, conflict=1)
    assert (count_events(old), payload_of_own(old)) == (2, [contradiction["payload"]])
    ((_, _, _, is_replaced, previous),) = query(old, CONFLICTS)
    assert (is_replaced, previous) == (True, before)
    assert begun.verify().status == "passed"


def test_replacing_touches_the_days_of_both_rows(old: str, tmp_path: Path) -> None:
    begun = load(old, write_export(tmp_path / "new.jsonl", [OTHER_TIME]), on_conflict="replace")
    with psycopg.connect(old) as connection:
        days = touched_days(connection, begun.run.run_id)
    assert [str(day) for day in days] == ["2024-01-31", "2024-02-03"]


def test_a_replaced_row_keeps_every_digit(target: str, tmp_path: Path) -> None:
    exact = '{"event_type":"x","occurred_at":"2024-01-01T00:00:00Z","event_id":"own","payload":{"n":%s}}'
    load(target, write_export(tmp_path / "old.jsonl", [exact % "0.12345678901234567890123"]))
    load(
        target,
        write_export(tmp_path / "new.jsonl", [exact % "0.12345678901234567890124"]),
        on_conflict="replace",
    )
    rows = query(target, "SELECT previous_row -> 'payload' ->> 'n', fields::text FROM import_conflicts")
    assert rows[0][0] == "0.12345678901234567890123"
    assert rows[0][1] == '{"payload.n": [0.12345678901234567890123, 0.12345678901234567890124]}'


def test_replacing_again_finds_a_duplicate(old: str, tmp_path: Path) -> None:
    for counts in (Counts(lines=1, conflict=1), Counts(lines=1, duplicate=1)):
        begun = load(old, write_export(tmp_path / "new.jsonl", [OTHER_TIME]), on_conflict="replace")
        assert begun.counts() == counts


def test_fail_stops_before_the_chunk_is_written(old: str, tmp_path: Path) -> None:
    file = write_export(tmp_path / "new.jsonl", [make_event(5), OTHER_PAYLOAD])
    begun = begin(old, file, on_conflict="fail")
    with pytest.raises(GateError, match=r"new\.jsonl line 2: contradicts a row of the table"):
        begun.load()
    assert (count_events(old), begun.counts(), query(old, CONFLICTS)) == (2, Counts(), [])


def test_of_two_records_that_contradict_each_other_the_first_is_loaded(target: str, tmp_path: Path) -> None:
    file = write_export(tmp_path / "new.jsonl", [OLD, make_event(0), OTHER_PAYLOAD])
    begun = load(target, file, chunk=1)
    assert begun.counts() == Counts(lines=3, loaded=2, conflict=1)
    assert payload_of_own(target) == [OLD["payload"]]
    assert [row[:2] for row in query(target, CONFLICTS)] == [(3, "new.jsonl line 1")]
    assert begun.verify().status == "passed"


def test_of_two_records_that_contradict_each_other_the_last_is_loaded_when_replacing(
    target: str, tmp_path: Path
) -> None:
    file = write_export(tmp_path / "new.jsonl", [OLD, make_event(0), OTHER_PAYLOAD])
    begun = load(target, file, on_conflict="replace")
    assert begun.counts() == Counts(lines=3, loaded=2, conflict=1)
    assert payload_of_own(target) == [OTHER_PAYLOAD["payload"]]
    assert begun.verify().status == "passed"


def test_an_edited_row_without_an_own_id_is_a_conflict_too(target: str, tmp_path: Path) -> None:
    file = write_export(tmp_path / "export.jsonl", [make_event(n) for n in range(5)])
    load(target, file)
    query(
        target,
        'UPDATE analytics_events SET payload = \'{"number": true, "progress": 0.01}\' WHERE export_line = 2',
    )
    begun = load(target, file)
    assert begun.counts() == Counts(lines=5, duplicate=4, conflict=1)
    assert [row[2] for row in query(target, CONFLICTS)] == [{"payload.number": [True, 1]}]


def test_true_and_one_differ_and_one_and_one_point_nought_do_not() -> None:
    assert diff_rows({"payload": '{"a":true,"b":1}'}, {"payload": '{"a":1,"b":1.0}'}) == {"payload.a": [True, 1]}
    assert diff_rows({"payload": "[1]"}, {"payload": "[true]"}) == {"payload": [[1], [True]]}


def test_an_own_id_is_known_only_within_its_tenant(target: str, tmp_path: Path) -> None:
    load(target, write_export(tmp_path / "old.jsonl", [OLD]), tenant="north")
    plan, folder, manifest = stage(write_export(tmp_path / "new.jsonl", [OLD, OTHER_TIME | {"event_id": "2"}]))
    staged = read_staged_rows(folder, manifest.chunks[0], plan.format)
    mixed = staged.table.set_column(
        staged.table.schema.get_field_index("tenant"), "tenant", pa.array(["south", "north"])
    ).set_column(staged.table.schema.get_field_index("source_event_id"), "source_event_id", pa.array(["own", "own"]))
    with connect(target, load_settings()) as connection:
        verdict = ask_table(connection, StagedRows(mixed, plan.format))
    assert (verdict.new, [conflict.row for conflict in verdict.conflicts]) == ([0], [1])
