"""Whole imports of generated email engagement exports: equal to the key, however they are cut, killed or shared."""

import hashlib
import multiprocessing
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from loading import Import, begin, query

from hindcast.load import load_chunks
from hindcast.synthetic import Answers, GenerateSpec, generate
from hindcast.synthetic.email_engagement import END, START

pytest_plugins = ["loading_fixtures"]

EVENTS = "SELECT event_id::text, user_id, payload::text FROM analytics_events ORDER BY 1"
LINKS = "SELECT identifier_key::text, universal_id FROM identity_links ORDER BY 1"


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answers]:
    file = tmp_path_factory.mktemp("export") / "export.jsonl"
    return file, generate(GenerateSpec("email_engagement", 500, 3, file, START, END))


def digest(url: str) -> tuple[str, str]:
    events, links = (repr(query(url, statement)).encode() for statement in (EVENTS, LINKS))
    return hashlib.sha256(events).hexdigest(), hashlib.sha256(links).hexdigest()


@pytest.fixture(scope="module")
def known_digests() -> dict[str, tuple[str, str]]:
    """Of the first import of the module; all others must be the same."""
    return {}


def check(begun: Import, answers: Answers, known: dict[str, tuple[str, str]]) -> None:
    counts = begun.counts()
    assert (counts.loaded, counts.duplicate, counts.conflict, counts.rejected, counts.sanitised) == (
        answers.loaded, answers.duplicate, answers.conflict, answers.rejected, answers.sanitised,
    )  # fmt: skip
    assert begun.verify().status == "passed"
    assert known.setdefault("digest", digest(begun.url)) == digest(begun.url)


def test_an_import_equals_its_key_and_the_next_loads_nothing(
    target: str, export: tuple[Path, Answers], known_digests: dict[str, tuple[str, str]]
) -> None:
    file, answers = export
    begun = begin(target, file)
    begun.load()
    begun.finish()
    check(begun, answers, known_digests)
    totals = begun.manifest.totals
    assert (totals.rejects, totals.naive_times) == (answers.rejects_by_reason, answers.naive_times)
    assert begun.manifest.months == [(m.month, m.event_type, m.export) for m in answers.months]
    assert query(target, "SELECT count(DISTINCT user_id) FROM analytics_events") == [(answers.people,)]
    again = begin(target, file, is_new_run=True)
    assert again.load().loaded == 0
    assert again.spot_check(200).differences == []


def test_chunks_of_one_record_in_small_segments_give_the_same(
    target: str,
    export: tuple[Path, Answers],
    known_digests: dict[str, tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HINDCAST_SEGMENT_BYTES", "50000")
    begun = begin(target, export[0], chunk=1)
    begun.load()
    check(begun, export[1], known_digests)


def test_four_loading_at_once_give_the_same(
    target: str, export: tuple[Path, Answers], known_digests: dict[str, tuple[str, str]]
) -> None:
    begun = begin(target, export[0], chunk=10)
    task, numbers = begun.task(), [chunk.number for chunk in begun.manifest.chunks]
    with ThreadPoolExecutor(4) as threads:  # each on a connection of its own, the last chunks first
        list(threads.map(load_chunks, [replace(task, chunks=tuple(reversed(numbers[n::4]))) for n in range(4)]))
    check(begun, export[1], known_digests)


def _load_and_die(task: object, after: int) -> None:
    """Load some chunks, then be killed in the middle of the next, with its links written and not committed."""
    import hindcast.load

    copied = 0
    copy_rows = hindcast.load.copy_rows

    def copy_or_die(*arguments: object) -> None:
        nonlocal copied
        copied += 1
        if copied > after:
            os.kill(os.getpid(), signal.SIGKILL)
        copy_rows(*arguments)  # type: ignore[arg-type]  # passed on

    hindcast.load.copy_rows = copy_or_die  # type: ignore[assignment]  # of the child only
    hindcast.load.load_chunks(task)  # type: ignore[arg-type]  # a LoadTask


def test_killed_in_the_middle_and_done_again_gives_the_same(
    target: str, export: tuple[Path, Answers], known_digests: dict[str, tuple[str, str]]
) -> None:
    begun = begin(target, export[0], chunk=20)
    for after in (0, 3):
        child = multiprocessing.get_context("spawn").Process(target=_load_and_die, args=(begun.task(), after))
        child.start()
        child.join(60)
        assert child.exitcode == -signal.SIGKILL
    assert begun.counts().loaded >= 19
    begun.load()
    check(begun, export[1], known_digests)
