"""server_health_report.json is someone else's file: we add our key and leave the rest as it was."""

import json
import threading
from dataclasses import replace

import pytest

from hindcast.errors import HindcastError
from hindcast.health import HealthEntry, add_health_entry

ENTRY = HealthEntry("2026-07-30T02:14:31+00:00", "learning-2024", 50_983, "KM", "run-1", "succeeded")
THEIRS = """{
  "timestamp": "2025-11-05T10:00:00.000Z",
  "status": {"ok" : true, "load": 1.50, "big": 12345678901234567890123},
  "healthCheck": [ 1,
      2 ],
  "recommendations": ["é", "\\u00e9"]
}
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "server_health_report.json"
    path.write_text(THEIRS)
    return path


def imports(path):
    return json.loads(path.read_text())["hindcast"]["imports"]


def test_the_entry_is_added_and_every_other_byte_stays(path):
    add_health_entry(path, ENTRY)

    assert path.read_text().startswith(THEIRS.removesuffix("\n}\n"))
    assert imports(path) == [
        {
            "date_time": "2026-07-30T02:14:31+00:00",
            "dataset": "learning-2024",
            "row_count": 50_983,
            "operator": "KM",
            "run_id": "run-1",
            "status": "succeeded",
        }
    ]


def test_adding_the_same_entry_twice_changes_nothing(path):
    add_health_entry(path, ENTRY)
    once = path.read_bytes()
    add_health_entry(path, ENTRY)

    assert path.read_bytes() == once


def test_a_run_that_goes_on_replaces_its_own_entry(path):
    add_health_entry(path, replace(ENTRY, status="failed"))
    add_health_entry(path, replace(ENTRY, run_id="run-2"))
    add_health_entry(path, ENTRY)

    assert [(entry["run_id"], entry["status"]) for entry in imports(path)] == [
        ("run-2", "succeeded"),
        ("run-1", "succeeded"),
    ]


def test_only_the_last_hundred_entries_are_kept(path):
    for number in range(103):
        add_health_entry(path, replace(ENTRY, run_id=f"run-{number}"))

    assert [entry["run_id"] for entry in imports(path)] == [f"run-{number}" for number in range(3, 103)]


def test_our_key_keeps_its_place_and_what_else_it_holds(path):
    path.write_text('{"a":1,"hindcast":{"note":"x"},"z":2}')
    add_health_entry(path, ENTRY)

    document = json.loads(path.read_text())
    assert list(document) == ["a", "hindcast", "z"]
    assert list(document["hindcast"]) == ["note", "imports"]
    assert "\n" not in path.read_text()


def test_a_missing_file_is_created_with_its_folder(tmp_path):
    path = tmp_path / "state" / "server_health_report.json"
    add_health_entry(path, ENTRY)

    assert list(json.loads(path.read_text())) == ["hindcast"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b'{"a":1',
        b'{"a":1} x',
        b'{"hindcast":[]}',
        b'{"hindcast":{"imports":{}}}',
        b'{"\xff":1}',
    ],
)
def test_a_file_that_is_no_json_object_is_refused_and_untouched(path, content):
    path.write_bytes(content)

    with pytest.raises(HindcastError, match=r"server_health_report\.json: expected one JSON object .* move it"):
        add_health_entry(path, ENTRY)
    assert path.read_bytes() == content


def test_the_file_keeps_its_mode(path):
    path.chmod(0o640)
    add_health_entry(path, ENTRY)

    assert path.stat().st_mode & 0o777 == 0o640


def test_a_symlink_is_written_through_to_its_target(path, tmp_path):
    link = tmp_path / "elsewhere" / "link.json"
    link.parent.mkdir()
    link.symlink_to(path)
    add_health_entry(link, ENTRY)

    assert link.is_symlink()
    assert len(imports(path)) == 1
    assert list(link.parent.iterdir()) == [link]


def test_a_place_that_cannot_be_written_is_named_with_what_to_do(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(HindcastError, match="HINDCAST_HEALTH_REPORT"):
        add_health_entry(tmp_path / "file" / "report.json", ENTRY)


def test_two_writers_at_once_lose_no_entry(path):
    def add(first: int) -> None:
        for number in range(first, first + 10):
            add_health_entry(path, replace(ENTRY, run_id=f"run-{number}"))

    writers = [threading.Thread(target=add, args=(first,)) for first in (0, 10, 20, 30)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert len(imports(path)) == 40


def test_a_reader_never_sees_a_part_of_the_file(path):
    done = threading.Event()
    seen: list[int] = []

    def read() -> None:
        while not done.is_set():
            seen.append(len(json.loads(path.read_text())))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(30):
        add_health_entry(path, replace(ENTRY, run_id=f"run-{number}"))
    done.set()
    reader.join()

    assert set(seen) <= {4, 5}
