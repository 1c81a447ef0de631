"""Staging an export: every record in exactly one place, the same however it is cut, and safe to interrupt."""

import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard
from loading import InProcess, make_event, stage, write_export

from hindcast.errors import ExportError
from hindcast.manifest import Manifest, load_manifest
from hindcast.plan import load_plan
from hindcast.pool import WorkerPool
from hindcast.staging import KEPT_OF_REJECT, read_chunk, read_rejects, read_segment, segment_path

pytest_plugins = ["reading_fixtures"]
pytestmark = pytest.mark.usefixtures("home")

BAD = ["not json", '{"event_type":"a"}', "", "[1]"]


@pytest.fixture
def export(tmp_path: Path) -> Path:
    records = [make_event(number) if number % 10 else BAD[number // 10 % 4] for number in range(100)]
    return write_export(tmp_path / "export.jsonl", records)


def staged_rows(folder: Path, manifest: Manifest) -> list[dict[str, Any]]:
    """Every staged event with its part and the line in it."""
    return [
        row | {"part": chunk.part, "line": chunk.line_base + row["line"]}
        for chunk in manifest.chunks
        if chunk.staged_as.staged
        for row in read_chunk(folder, chunk.segment, chunk.staged_as.row_group).to_pylist()
    ]


def all_rejects(folder: Path, manifest: Manifest) -> list[tuple[str, int, str]]:
    return [
        (reject.part, base + reject.line, reject.code)
        for segment, base in sorted(manifest.line_bases.items())
        for reject in read_rejects(folder, segment)
    ]


def balance(manifest: Manifest) -> int:
    """Lines that no book knows: 0."""
    totals = manifest.totals
    return totals.lines - totals.staged - totals.rejected - totals.skipped - totals.out_of_window


def test_every_record_is_staged_or_rejected_with_its_line(export: Path) -> None:
    _, folder, manifest = stage(export)
    assert (manifest.totals.lines, manifest.totals.staged, manifest.totals.rejected) == (98, 90, 8)
    assert manifest.totals.rejects == {"malformed_json": 3, "missing_time": 3, "not_an_object": 2}
    assert balance(manifest) == 0
    lines = export.read_bytes().splitlines()
    for row in staged_rows(folder, manifest):
        assert json.loads(lines[row["line"] - 1])["payload"] == json.loads(row["payload"])
        assert export.read_bytes()[row["byte_offset"] :].startswith(lines[row["line"] - 1])
    assert all_rejects(folder, manifest)[:2] == [
        ("export.jsonl", 1, "malformed_json"),
        ("export.jsonl", 11, "missing_time"),
    ]


@pytest.mark.parametrize("segment_bytes", [1024, 1500, 4096, 1 << 20])
def test_the_same_records_are_staged_however_the_file_is_cut(
    export: Path, monkeypatch: pytest.MonkeyPatch, segment_bytes: int
) -> None:
    _, folder, whole = stage(export)
    expected = staged_rows(folder, whole), all_rejects(folder, whole)
    monkeypatch.setenv("HINDCAST_SEGMENT_BYTES", str(segment_bytes))
    _, folder, cut = stage(export, chunk=7)
    assert (staged_rows(folder, cut), all_rejects(folder, cut)) == expected
    assert cut.months == whole.months
    assert sum(chunk.staged_as.records for chunk in cut.chunks) == 98
    assert max(chunk.staged_as.records for chunk in cut.chunks) == 7


def test_the_number_of_workers_changes_nothing(export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HINDCAST_SEGMENT_BYTES", "4096")
    seals = []
    for workers in (1, 2):
        monkeypatch.setenv("HINDCAST_HOME", str(export.parent / f"home-{workers}"))
        with WorkerPool(workers) as pool:
            _, _, manifest = stage(export, pool, chunk=7)
        seals.append(manifest.seal)
    assert seals[0] == seals[1]


def test_an_archive_stages_the_records_of_the_plain_file(export: Path, tmp_path: Path) -> None:
    _, folder, manifest = stage(export)
    plain = [row["event_id"] for row in staged_rows(folder, manifest)]
    data = export.read_bytes()
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(data))
    (tmp_path / "a.jsonl.zst").write_bytes(zstandard.compress(data))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x.jsonl.gz", gzip.compress(data))
    for name in ("a.jsonl.gz", "a.jsonl.zst", "a.zip"):
        _, folder, manifest = stage(tmp_path / name)
        assert [row["event_id"] for row in staged_rows(folder, manifest)] == plain
        assert manifest.part_lines == {manifest.chunks[0].part: 100}


def test_an_array_stages_its_elements(tmp_path: Path) -> None:
    records = [make_event(1), [], make_event(2)]
    (tmp_path / "a.json").write_text(json.dumps(records, indent=2))
    _, folder, manifest = stage(tmp_path / "a.json")
    assert [row["line"] for row in staged_rows(folder, manifest)] == [1, 3]
    assert manifest.totals.rejects == {"not_an_object": 1}


def test_a_truncated_archive_is_counted_and_what_was_readable_is_staged(export: Path, tmp_path: Path) -> None:
    whole = gzip.compress(export.read_bytes() * 50)
    (tmp_path / "a.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    _, folder, manifest = stage(tmp_path / "a.jsonl.gz")
    assert manifest.totals.damaged_parts == 1
    assert manifest.totals.rejects["damaged_part"] == 1
    assert manifest.totals.staged > 1500
    assert balance(manifest) == 0
    assert all_rejects(folder, manifest)[-1][1] == manifest.part_lines["a.jsonl.gz"]


def test_lines_are_counted_anew_in_every_part(tmp_path: Path) -> None:
    for number in (10, 9):
        write_export(tmp_path / f"p{number}.jsonl", ["", make_event(number)])
    _, folder, manifest = stage(tmp_path)
    assert [(row["part"], row["line"]) for row in staged_rows(folder, manifest)] == [("p9.jsonl", 2), ("p10.jsonl", 2)]


def test_a_window_keeps_its_start_and_leaves_its_end(tmp_path: Path) -> None:
    times = ["2023-12-31T23:59:59.999999Z", "2024-01-01", "2024-01-31T23:59:59.999999Z", "2024-02-01T00:00:00Z"]
    export = write_export(tmp_path / "e.jsonl", [make_event(0, occurred_at=time) for time in times])
    _, folder, manifest = stage(export, window="2024-01-01..2024-02-01")
    assert [row["line"] for row in staged_rows(folder, manifest)] == [2, 3]
    assert manifest.totals.out_of_window == 2
    assert manifest.totals.naive_times == 1
    assert balance(manifest) == 0
    assert manifest.months == [("2024-01", "lesson_completed", 2)]


@pytest.mark.parametrize("limit", [1, 30, 97, 98, 1000])
def test_a_limit_stops_after_so_many_records(export: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setenv("HINDCAST_SEGMENT_BYTES", "4096")
    _, _, manifest = stage(export, limit=limit)
    assert manifest.totals.lines == min(limit, 98)
    assert balance(manifest) == 0


def test_staging_again_reads_only_what_is_missing_and_seals_the_same(
    export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HINDCAST_SEGMENT_BYTES", "4096")
    _, folder, first = stage(export)
    segment_path(folder, 1, "json").unlink()  # as a kill just before the segment was sealed leaves it
    kept = segment_path(folder, 0, "arrow").stat().st_mtime_ns
    _, again, second = stage(export)
    assert (again, second.seal) == (folder, first.seal)
    assert segment_path(folder, 0, "arrow").stat().st_mtime_ns == kept
    assert read_segment(folder, 1) is not None


def test_a_worker_killed_while_it_stages_leaves_no_half_segment(tmp_path: Path) -> None:
    export = write_export(tmp_path / "e.jsonl", (make_event(number) for number in range(300_000)))
    plan, folder, expected = stage(export, limit=1)
    code = f"from hindcast.extract import *; stage_segment({str(folder)!r}, SegmentTask(7, 0, 0, None))"
    process = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    while not list(folder.glob("segment-00007.new-*")):
        time.sleep(0.005)
        assert process.poll() is None, "it ended before it began"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert read_segment(folder, 7) is None
    assert not segment_path(folder, 7, "arrow").exists()
    assert load_plan(folder) == plan
    assert load_manifest(folder).seal == expected.seal


def test_a_plan_is_decoded_once_until_it_is_another(export: Path) -> None:
    plan, folder, _ = stage(export)
    assert load_plan(folder) is load_plan(folder)
    (folder / "plan.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(plan, tenant="another")))
    assert load_plan(folder).tenant == "another"


def test_an_error_while_staging_leaves_nothing_behind(export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("hindcast.stager.count_months", fail)
    with pytest.raises(OSError, match="disk full"):
        stage(export)
    (folder,) = (export.parent / "home" / "staging").iterdir()
    assert [path.name for path in folder.iterdir()] == ["plan.json"]


def test_an_export_that_changes_while_it_is_read_is_refused(export: Path) -> None:
    class Meddling(InProcess):
        def call(self, function: str, *arguments: object) -> Any:
            with export.open("ab") as file:
                file.write(b"{}\n")
            return super().call(function, *arguments)

    with pytest.raises(ExportError, match=r"export\.jsonl: changed while it was being read"):
        stage(export, Meddling())


def test_an_export_that_is_gone_is_named(export: Path) -> None:
    class Meddling(InProcess):
        def call(self, function: str, *arguments: object) -> Any:
            export.unlink()
            return super().call(function, *arguments)

    with pytest.raises(ExportError, match=r"export\.jsonl: the file is gone"):
        stage(export, Meddling())


def test_a_manifest_that_was_edited_is_refused(export: Path) -> None:
    _, folder, _ = stage(export)
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"staged":90', b'"staged":91'))
    with pytest.raises(ExportError, match="changed since it was sealed"):
        load_manifest(folder)


def test_an_empty_export_needs_a_format_and_then_stages_nothing(tmp_path: Path) -> None:
    (tmp_path / "e.jsonl").write_bytes(b"\n\n")
    with pytest.raises(ExportError, match=r"no records.*--format"):
        stage(tmp_path / "e.jsonl")
    _, _, manifest = stage(tmp_path / "e.jsonl", format="analytics_history")
    assert (manifest.totals.lines, manifest.chunks) == (0, [])


def test_personal_values_are_in_no_file_of_the_staging_folder(tmp_path: Path) -> None:
    address = "ada@example.com"
    long = '{"x":"' + (address + " ") * 1000
    lines = [
        json.dumps({"type": "a", "time": 0, "payload": {"email": address}, address: 1}),
        f'{{"type":"a","payload":{{"email":"{address}"}}}}',
        f'{{"type":"a","time":"{address}"}}',
        f"{{'email': '{address}'",
        long,
        "x" * (2 * KEPT_OF_REJECT - 10) + " " + address,
    ]
    utf_16 = f'{{"email":"{address}"}}'.encode("utf-16-le") + b"\n"
    (tmp_path / "e.jsonl").write_bytes("\n".join(lines).encode() + b"\n" + utf_16)
    _, folder, manifest = stage(tmp_path / "e.jsonl", format="analytics_history")
    assert (manifest.totals.staged, manifest.totals.rejected) == (1, 6)
    for path in folder.iterdir():
        assert b"ada" not in path.read_bytes().replace(b"\\u0000", b"").replace(b"\\\\x00", b""), path.name
    (row,) = staged_rows(folder, manifest)
    assert hashlib.sha256(address.encode()).hexdigest() in row["payload"]
