"""Imports of LLM analytics: objects before rows, nothing put twice, nothing left behind."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from loading import Import, begin, count_events, load, note_commits, query, write_export

from hindcast.database import connect
from hindcast.objects.content import Content
from hindcast.objects.store import ObjectStore, open_store
from hindcast.objects.teams import TeamReader
from hindcast.settings import load_settings
from hindcast.synthetic import GenerateSpec
from hindcast.synthetic.llm_analytics import values_path, write_llm
from hindcast.synthetic.llm_records import LargeValues

pytest_plugins = ["loading_fixtures", "objects_fixtures"]

TEXT = "x" * 6_000
STATES = "SELECT state, count(*) FROM llm_objects GROUP BY 1"


@pytest.fixture(params=["local", "s3"])
def objects(request: pytest.FixtureRequest, target: str, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """The store that imports use, of each kind, with a target."""
    if request.param == "s3":
        monkeypatch.setenv("LLMA_S3_BUCKET", request.getfixturevalue("bucket"))
    return open_store(load_settings())


def make_record(number: int, **properties: Any) -> dict[str, Any]:
    return {
        "event": "$ai_generation",
        "distinct_id": "u1",
        "uuid": f"0190b0a0-0000-4000-8000-{number:012}",
        "timestamp": f"2024-03-01T10:00:{number:02}Z",
        "properties": {"$ai_model": "m", "$ai_input": f"{number}{TEXT}", **properties},
    }


def export_of(path: Path, *records: dict[str, Any]) -> Path:
    return write_export(path / f"export-{len(list(path.iterdir()))}.jsonl", records)


def test_every_value_reads_back_to_its_source(objects: ObjectStore, target: str, tmp_path: Path) -> None:
    spec = GenerateSpec("llm_analytics", 70, 3, tmp_path / "export.jsonl")
    answers = write_llm(spec, LargeValues(2, 6, 1_000, 60_000))
    begun = load(target, spec.out, chunk=7)
    counts = begun.counts()
    assert (counts.loaded, counts.duplicate, counts.conflict, counts.rejected) == (
        answers.loaded, answers.duplicate, answers.conflict, answers.rejected,
    )  # fmt: skip
    payloads = dict(query(target, "SELECT source_event_id, payload FROM analytics_events"))
    reader, read = TeamReader(objects, "default"), 0
    for line in values_path(spec.out).read_text().splitlines():
        value = json.loads(line)
        stored = payloads[value["uuid"]][value["property"]]
        if isinstance(stored, str) and stored.startswith("s3://"):
            assert hashlib.sha256(reader.read_part(stored).body).hexdigest() == value["sha256"]
            read += 1
    assert read > 50
    assert begun.failed_checks() == set()
    assert any(check["name"] == "objects" for check in begun.verify().checks)


def test_a_chunk_with_objects_waits_until_its_rows_last(objects: ObjectStore, target: str, tmp_path: Path) -> None:
    note_commits(target)
    load(target, export_of(tmp_path, make_record(1), make_record(2)))
    assert query(target, "SELECT setting FROM noted_commits") == [("on",)]


def test_importing_again_puts_nothing(
    objects: ObjectStore, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = export_of(tmp_path, make_record(1), make_record(2))
    load(target, file)

    def refuse(*_: object) -> bool:
        raise AssertionError("an object was put")

    monkeypatch.setattr(type(objects), "put", refuse)
    again = begin(target, file, is_new_run=True, dataset="again")
    assert again.load().duplicate == 2
    assert query(target, STATES) == [("committed", 2)]


def test_other_bytes_of_the_same_length_are_a_conflict(objects: ObjectStore, target: str, tmp_path: Path) -> None:
    load(target, export_of(tmp_path, make_record(1)))
    other = begin(target, export_of(tmp_path, make_record(1, **{"$ai_input": "1" + "y" * 6_000}), make_record(2)))
    counts = other.load()
    assert (counts.loaded, counts.conflict) == (1, 1)
    [(fields,)] = query(target, "SELECT fields FROM import_conflicts")
    assert "(object)" in fields
    assert other.failed_checks() == set()
    assert query(target, STATES) == [("committed", 2)]


def test_within_an_export_too(objects: ObjectStore, target: str, tmp_path: Path) -> None:
    other = make_record(1, **{"$ai_input": "1" + "y" * 6_000})
    begun = load(target, export_of(tmp_path, make_record(1), other, make_record(1)))
    assert (begun.counts().loaded, begun.counts().conflict, begun.counts().duplicate) == (1, 1, 1)
    assert begun.failed_checks() == set()


def test_a_kept_conflict_leaves_no_object(objects: ObjectStore, target: str, tmp_path: Path) -> None:
    load(target, export_of(tmp_path, make_record(1, **{"$ai_input": "short"})))
    begun = begin(target, export_of(tmp_path, make_record(1)))
    assert begun.load().conflict == 1
    assert query(target, STATES) == []
    assert list(objects.list("llma/")) == []


def test_an_object_of_somebody_else_is_left_alone(objects: ObjectStore, target: str, tmp_path: Path) -> None:
    key = f"llma/default/{make_record(1)['uuid']}"
    objects.put(key, Content([b"theirs"]), "text/plain", {})
    begun = begin(target, export_of(tmp_path, make_record(1)))
    assert begun.load().conflict == 1
    assert b"".join(objects.stream(key)) == b"theirs"
    assert query(target, STATES) == []


def test_a_loader_that_dies_before_its_rows_is_taken_up_again(
    objects: ObjectStore, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: Import = begin(target, export_of(tmp_path, make_record(1), make_record(2)))
    with monkeypatch.context() as dying:
        dying.setattr("hindcast.load._Loader._load_once", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            begun.load()
    assert query(target, STATES) == [("pending", 2)]
    assert begun.load().loaded == 2
    assert query(target, STATES) == [("committed", 2)]


def test_a_sweep_between_object_and_row_makes_the_loader_put_it_again(
    objects: ObjectStore, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = begin(target, export_of(tmp_path, make_record(1)))
    put, calls = type(objects).put, []

    def put_and_lose(*arguments: Any) -> bool:
        done = put(*arguments)
        if not calls:
            objects.delete(arguments[1])
            query(target, "DELETE FROM llm_objects")
        calls.append(arguments[1])
        return done

    monkeypatch.setattr(type(objects), "put", put_and_lose)
    assert begun.load().loaded == 1
    assert len(calls) == 2
    assert begun.failed_checks() == set()


def test_verifying_finds_an_object_that_is_gone(objects: ObjectStore, target: str, tmp_path: Path) -> None:
    begun = load(target, export_of(tmp_path, make_record(1)))
    objects.delete(f"llma/default/{make_record(1)['uuid']}")
    assert begun.failed_checks() == {"objects"}


def test_only_rows_of_the_window_have_objects(objects: ObjectStore, target: str, tmp_path: Path) -> None:
    file = export_of(tmp_path, make_record(1), make_record(2) | {"timestamp": "2024-05-01T00:00:00Z"})
    begun = load(target, file, window="2024-03-01..2024-04-01")
    assert begun.counts().out_of_window == 1
    assert len(list(objects.list("llma/"))) == 1


def test_a_replaced_row_keeps_its_object(objects: ObjectStore, target: str, tmp_path: Path) -> None:
    load(target, export_of(tmp_path, make_record(1)))
    with connect(target, load_settings()) as connection:
        connection.execute("UPDATE analytics_events SET user_id = 'other'")
    begun = begin(target, export_of(tmp_path, make_record(1)), on_conflict="replace")
    assert begun.load().conflict == 1
    assert query(target, STATES) == [("committed", 1)]
    assert count_events(target) == 1
