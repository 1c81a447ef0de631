"""A format that is added (tests/door_log.py) needs its module, a line in the registry and a suite, and nothing else."""

import json
from datetime import UTC, datetime
from pathlib import Path

import door_log
import pytest
from loading import load, stage

from expectations.gate import run_frame_gate
from expectations.staged import StagedEvents
from hindcast.event import Event
from hindcast.formats import FORMATS
from hindcast.formats.base import Context

pytest_plugins = ["loading_fixtures"]

VISITS = [
    '{"at": "2024-01-31T10:00:00Z", "who": "ann", "door": "north", "id": "v1"}',
    '{"at": "2024-01-31T10:01:00", "who": "bob", "door": "south", "id": "v2"}',
    '{"at": "2024-01-31T10:02:00Z", "who": "bob", "door": "south", "test": true}',
    '{"at": "2024-01-31T10:03:00Z", "who": "cid"}',
]
SUITE = {
    "name": "door_log",
    "notes": "Visits.",
    "meta": {"locators": ["part", "line"]},
    "expectations": [
        {
            "type": "expect_column_values_to_be_in_set",
            "severity": "critical",
            "description": "a visit is a visit",
            "meta": {"rule": "DL-001"},
            "kwargs": {"column": "event_type", "value_set": ["visit"]},
        }
    ],
}


@pytest.fixture
def export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(FORMATS, "door_log", door_log)
    path = tmp_path / "visits.jsonl"
    path.write_text("\n".join([*VISITS, ""]))
    return path


def test_it_is_detected_imported_and_proved(target: str, export: Path) -> None:
    export.write_text("\n".join([*VISITS[:3], ""]))  # detection wants every record to have a door
    begun = load(target, export)
    counts = begun.counts()
    assert (begun.plan.format, counts.lines, counts.loaded, counts.skipped, counts.derived) == ("door_log", 3, 2, 1, 2)
    assert begun.manifest.totals.naive_times == 1
    assert begun.verify().status == "passed" and begun.spot_check().checked == 2
    assert load(target, export, dataset="again").counts().duplicate == 2


def test_its_rejects_have_their_place_and_reason(target: str, export: Path) -> None:
    begun = load(target, export, format="door_log")
    assert begun.manifest.totals.rejects == {"missing_door": 1}


def test_its_suite_gates_what_is_staged(export: Path, tmp_path: Path) -> None:
    (tmp_path / "door_log.json").write_text(json.dumps(SUITE))
    _, folder, manifest = stage(export, format="door_log")
    result = run_frame_gate("door_log", StagedEvents(folder, manifest.chunks[:1]), {}, tmp_path)
    assert (result.status, result.rows) == ("passed", 2)


def test_what_it_writes_it_reads() -> None:
    event = Event(datetime(2024, 1, 31, tzinfo=UTC), "visit", user_id="ann", payload={"door": "x"}, source_event_id="v")
    assert door_log.decode(door_log.encode(event), Context(datetime(2025, 1, 1, tzinfo=UTC))) == event
