"""A gate's verdict on staged events is kept, and belongs to exactly those."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from gate_inputs import BOUNDS
from loading import make_event, stage, write_export

from expectations.gate import Check, GateResult, merge_results
from expectations.kept import KeptVerdict
from expectations.staged import StagedEvents
from expectations.suite import load_suite
from hindcast.manifest import Chunk

CHECK = Check("EV-001", "expect_x", "critical", "passed", "is there", "0 of 90 rows", 0, [])
RESULT = GateResult("analytics_history", "passed", 90, [CHECK], 1.5)


@pytest.fixture
def staged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[Chunk]]:
    monkeypatch.setenv("HINDCAST_HOME", str(tmp_path / "home"))
    _, folder, manifest = stage(write_export(tmp_path / "export.jsonl", map(make_event, range(90))), chunk=30)
    return folder, manifest.chunks


def kept(folder: Path, chunks: list[Chunk], **bounds: Any) -> KeptVerdict:
    return KeptVerdict(folder, load_suite("analytics_history", BOUNDS | bounds, None), StagedEvents(folder, chunks))


def test_a_verdict_is_given_again_with_the_time_it_was_given_at(staged: tuple[Path, list[Chunk]]) -> None:
    folder, chunks = staged
    assert kept(folder, chunks).read() is None
    kept(folder, chunks).write(RESULT)
    again = kept(folder, chunks).read()
    assert again is not None and again.judged_at.startswith("20") and again.judged_at.endswith("+00:00")
    assert replace(again, judged_at="", seconds=1.5) == RESULT and again.seconds == 0


def test_repeats_that_are_decided_later_change_no_verdict(staged: tuple[Path, list[Chunk]]) -> None:
    folder, chunks = staged
    kept(folder, chunks).write(RESULT)
    assert kept(folder, [msgspec.structs.replace(chunk, duplicate=7) for chunk in chunks]).read() is not None


def test_other_rows_another_suite_and_other_bounds_have_no_verdict(staged: tuple[Path, list[Chunk]]) -> None:
    folder, chunks = staged
    kept(folder, chunks).write(RESULT)
    assert kept(folder, chunks[:2]).read() is None
    assert kept(folder, chunks, window_end=BOUNDS["window_start"]).read() is None
    (path,) = folder.glob("segment-*.arrow")
    facts = path.stat()
    while path.stat().st_ctime_ns == facts.st_ctime_ns:  # a clock of a few milliseconds
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))  # as who sets the time back after a change
    assert path.stat().st_mtime_ns == facts.st_mtime_ns
    assert kept(folder, chunks).read() is None


def test_a_file_that_is_not_here_or_no_verdict_at_all_is_judged_anew(staged: tuple[Path, list[Chunk]]) -> None:
    folder, chunks = staged
    kept(folder, chunks).write(RESULT)
    (verdict,) = folder.glob("verdict-*.json")
    verdict.write_bytes(verdict.read_bytes()[:50])
    assert kept(folder, chunks).read() is None
    next(folder.glob("segment-*.arrow")).unlink()
    absent = kept(folder, chunks)
    absent.write(RESULT)
    assert absent.read() is None


def test_a_check_that_could_not_be_evaluated_is_not_kept(staged: tuple[Path, list[Chunk]]) -> None:
    folder, chunks = staged
    kept(folder, chunks).write(replace(RESULT, checks=[replace(CHECK, status="error")]))
    assert not list(folder.glob("verdict-*"))


def test_batches_of_which_one_was_judged_earlier_say_when() -> None:
    early, late = (replace(RESULT, judged_at=f"2026-01-0{day}T00:00:00+00:00") for day in (1, 2))
    assert merge_results([RESULT, late, early]).judged_at == early.judged_at
    assert merge_results([RESULT, RESULT]).judged_at == ""
