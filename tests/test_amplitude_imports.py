"""The scenario sets imported: each pair of user and device has exactly one identify event, whatever happens."""

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from loading import begin, load, query
from undoing import roll_back

from hindcast.load import load_chunks
from hindcast.synthetic import GenerateSpec, generate
from hindcast.synthetic.amplitude_set import ScenarioSpec, generate_scenarios
from hindcast.synthetic.spec import Answers

pytest_plugins = ["loading_fixtures"]

START = datetime(2025, 1, 31, tzinfo=UTC)
IDENTIFY = (
    "SELECT count(*), count(DISTINCT (tenant, user_id, anonymous_id)), count(DISTINCT source_event_id)"
    " FROM analytics_events WHERE event_type = '$identify'"
)
# Loads a run's chunks in a process of its own, to be killed.
LOADER = """
import sys
from hindcast.load import load_chunks
from hindcast.load_task import LoadTask
from uuid import UUID
url, folder, run, chunks = sys.argv[1:]
print("ready", flush=True)
load_chunks(LoadTask(url, folder, UUID(run), "amplitude", "keep", tuple(range(int(chunks)))))
"""


def write_set(path: Path, name: str = "documented", with_blank_ids: bool = False) -> tuple[Path, Answers]:
    spec = ScenarioSpec(name, START, START + timedelta(days=1), with_blank_ids=with_blank_ids)
    return path, generate_scenarios(spec, path)


@pytest.mark.parametrize(("name", "events", "pairs"), [("documented", 45, 30), ("original", 48, 33)])
def test_a_set_gives_its_events_and_its_identify_events(
    target: str, tmp_path: Path, name: str, events: int, pairs: int
) -> None:
    export, answers = write_set(tmp_path / "set.zip", name)
    begun = load(target, export)
    counts = begun.counts()
    assert (counts.lines, counts.loaded, counts.derived) == (events, events, pairs)
    assert (answers.lines, answers.loaded, answers.derived) == (events, events, pairs)
    assert query(target, IDENTIFY) == [(pairs, pairs, pairs)]
    assert begun.verify().status == "passed"
    assert load(target, export, dataset="again").counts().derived == 0


def test_blank_ids_give_no_identify_event_and_stay(target: str, tmp_path: Path) -> None:
    export, answers = write_set(tmp_path / "set.zip", with_blank_ids=True)
    counts = load(target, export).counts()
    assert (counts.loaded, counts.derived, answers.derived) == (50, 30, 30)


def test_chunks_of_one_loaded_by_four_at_once_in_any_order(target: str, tmp_path: Path) -> None:
    begun = begin(target, write_set(tmp_path / "set.zip")[0], chunk=1)
    tasks = [begun.task(chunk.number) for chunk in begun.manifest.chunks]
    random.Random(1).shuffle(tasks)
    with ThreadPoolExecutor(4) as loaders:
        list(loaders.map(load_chunks, tasks))
    assert query(target, IDENTIFY) == [(30, 30, 30)]
    assert begun.verify().status == "passed"


@pytest.mark.parametrize("seconds", [0.02, 0.1])
def test_a_loader_killed_in_the_middle(target: str, tmp_path: Path, seconds: float) -> None:
    begun = begin(target, write_set(tmp_path / "set.zip")[0], chunk=1)
    arguments = [target, str(begun.folder), str(begun.run.run_id), str(len(begun.manifest.chunks))]
    loader = subprocess.Popen([sys.executable, "-c", LOADER, *arguments], stdout=subprocess.PIPE)
    assert loader.stdout and loader.stdout.readline()
    time.sleep(seconds)
    os.kill(loader.pid, signal.SIGKILL)
    loader.wait()
    loader.stdout.close()
    begun.load()
    assert query(target, IDENTIFY) == [(30, 30, 30)]
    assert (begun.counts().loaded, begun.counts().derived) == (45, 30)
    assert begun.verify().status == "passed"


def test_a_set_comes_again_after_a_rollback(target: str, tmp_path: Path) -> None:
    export, _ = write_set(tmp_path / "set.zip")
    roll_back(target, run=load(target, export).run.run_id)
    assert query(target, "SELECT count(*) FROM analytics_events") == [(0,)]
    assert load(target, export, dataset="again").counts().derived == 30


@pytest.mark.parametrize("name", ["shop.zip", "shop.json.gz"])
def test_a_generated_export_gives_its_answer_key(target: str, tmp_path: Path, name: str) -> None:
    answers = generate(GenerateSpec("amplitude", 3_000, 5, tmp_path / name, START, START + timedelta(days=2)))
    begun = load(target, tmp_path / name)
    counts, totals = begun.counts(), begun.manifest.totals
    assert (counts.lines, counts.loaded, counts.derived) == (3_000, answers.loaded, answers.derived)
    assert (counts.duplicate, counts.conflict, counts.skipped) == (answers.duplicate, answers.conflict, answers.skipped)
    assert (totals.rejects, totals.sanitised) == (answers.rejects_by_reason, answers.sanitised)
    assert totals.unknown_properties == answers.unknown_properties
    assert [(m.month, m.event_type, m.export) for m in answers.months] == begun.manifest.months
    assert begun.verify().status == "passed" and begun.spot_check(100).equal == begun.spot_check(100).checked


def test_groups_are_told_as_they_change_when_asked_for(target: str, tmp_path: Path) -> None:
    plans = [("09", {"plan": "free", "seats": 3}), ("10", {"plan": "pro", "seats": 3}), ("11", {"plan": "pro"})]
    lines = [
        json.dumps(
            {"event_type": "x", "event_time": f"2025-01-31 {hour}:00:00", "uuid": hour, "app": 1}
            | {"group_properties": {"org": {"acme": properties}}}
        )
        for hour, properties in plans
    ]
    (tmp_path / "groups.json.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    options = {"generate_group_identify_events": "true"}
    begun = load(target, tmp_path / "groups.json.gz", format="amplitude", options=options)
    told = query(
        target, "SELECT payload - '{$group_type,$group_key}'::text[] FROM analytics_events"
        " WHERE event_type = '$groupidentify' ORDER BY created_at",
    )  # fmt: skip
    assert [row[0] for row in told] == [
        {"$group_set": {"plan": "free", "seats": 3}},
        {"$group_set": {"plan": "pro"}},
        {"$group_set": {}, "$group_unset": ["seats"]},
    ]
    assert begun.verify().status == "passed"
    assert (
        load(target, tmp_path / "groups.json.gz", format="amplitude", options=options, dataset="again").counts().derived
        == 0
    )
