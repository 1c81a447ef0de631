"""The generator of api_monitoring exports, checked by a slow reading of its files in plain Python."""

import dataclasses
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from test_synthetic import UNSTORABLE, Reject, parse, read_time

from flows.cli import cli
from hindcast.array_records import iter_array
from hindcast.export import Bounds, find_parts, open_part
from hindcast.records import Progress
from hindcast.synthetic import Answers, GenerateSpec, generate
from hindcast.synthetic.api_odd import KINDS, kinds_for
from hindcast.synthetic.blocks import BLOCK_RECORDS
from hindcast.synthetic.places import kind_name

START = datetime(2024, 1, 1, tzinfo=UTC)
OBJECTS = ("source", "metrics", "context", "payload", "error_details")
KNOWN = {"event_id", "event_type", "timestamp", "title", "message", "severity", *OBJECTS}
TYPES = {"api_call", "user_action", "system_event", "error_event", "custom_event"}


def make(out: Path, count: int = 5000, hours: int = 24, **changes: Any) -> Answers:
    spec = {"seed": 1, "start": START, "end": START + timedelta(hours=hours)} | changes
    return generate(GenerateSpec("api_monitoring", count=count, out=out, **spec))


def require(is_right: bool, code: str) -> None:
    if not is_right:
        raise Reject(code)


def check_rules(record: dict[str, Any]) -> tuple[datetime, bool]:
    require(record.get("event_id") not in (None, ""), "missing_event_id")
    require(isinstance(record["event_id"], str | int) and record["event_id"] is not True, "invalid_type")
    if record.get("timestamp") == "":
        raise Reject("missing_time")
    at = read_time(record.get("timestamp"))
    require(record.get("event_type") is not None and str(record["event_type"]).strip() != "", "missing_event_type")
    require(isinstance(record["event_type"], str), "invalid_type")
    require(record["event_type"] in TYPES, "unknown_event_type")
    for name in (name for name in OBJECTS if record.get(name) is not None):
        require(isinstance(record[name], dict), "invalid_type")
    for name, longest in (("title", 200), ("message", 2000)):
        require(isinstance(record.get(name) or "", str), "invalid_type")
        require(len(record.get(name) or "") <= longest, "value_too_long")
    severities = {None, "info", "warning", "error", "critical"}
    require(record.get("severity") in severities, "unknown_severity")
    metrics = record.get("metrics") or {}
    status = metrics.get("status_code", 200)
    require(isinstance(status, int | float), "invalid_type")
    require(100 <= status <= 599 and status == int(status), "status_out_of_range")
    require(metrics.get("response_time_ms", 0) >= 0, "negative_response_time")
    return at


def read_slowly(lines: list[bytes]) -> dict[str, Any]:
    """Apply the rules of the format one record after the other, keeping everything in memory."""
    books: Counter[str] = Counter(lines=len(lines))
    reasons: Counter[str] = Counter()
    months: Counter[tuple[str, str]] = Counter()
    unknown: Counter[str] = Counter()
    seen: dict[str, str] = {}
    times: list[datetime] = []
    for line in lines:
        try:
            record = parse(line)
            at, naive = check_rules(record)
        except Reject as reject:
            reasons[str(reject)] += 1
            continue
        books["staged"] += 1
        books["naive_times"] += naive
        unknown.update(record.keys() - KNOWN)
        times.append(at)
        content = json.dumps([record | {"timestamp": at.isoformat()}], sort_keys=True)
        content = content.replace(".0,", ",").replace(".0}", "}")
        known = seen.setdefault(str(record["event_id"]), content)
        if known is not content:
            books["duplicate" if known == content else "conflict"] += 1
            continue
        books["loaded"] += 1
        months[at.strftime("%Y-%m"), record["event_type"]] += 1
        books["sanitised"] += bool(UNSTORABLE.search(json.dumps(record).replace("\\\\", "")))
    return {
        **books,
        "rejected": reasons.total(),
        "rejects_by_reason": dict(reasons),
        "unknown_properties": dict(unknown),
        "months": [{"month": m, "event_type": t, "export": n} for (m, t), n in sorted(months.items())],
        "first_at": min(times).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "last_at": max(times).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }


def assert_key_is_true(answers: Answers, lines: list[bytes]) -> None:
    key = dataclasses.asdict(answers)
    for name in ("format", "count", "seed", "files", "planted", "skipped", "out_of_window", "derived", "times_differ"):
        del key[name]
    found = read_slowly(lines)
    assert {name: found.get(name, 0) for name in key} == key


@pytest.mark.parametrize(("count", "seed"), [(5000, 1), (21_000, 2**64 - 1), (1000, 3), (37, 5), (1, 6)])
def test_a_slow_reading_of_the_file_finds_what_the_answer_key_says(tmp_path: Path, count: int, seed: int) -> None:
    answers = make(tmp_path / "export.jsonl", count, hours=2000, seed=seed)
    assert_key_is_true(
        answers, [line for line in (tmp_path / "export.jsonl").read_bytes().split(b"\n") if line.strip()]
    )


@pytest.mark.parametrize("name", ["export.json", "export.json.gz", "export.json.zst"])
def test_a_json_file_is_one_array_of_the_same_records(tmp_path: Path, name: str) -> None:
    answers = make(tmp_path / name, BLOCK_RECORDS + 500)  # blocks are joined within the array
    (part,) = find_parts(str(tmp_path / name))
    assert part.is_array
    with open_part(part, 0, Bounds(10_000, 1 << 40)) as stream:
        elements = [record.raw for record in iter_array(stream, 1 << 24, Progress())]
    assert_key_is_true(answers, elements)


def test_a_whole_array_is_json_when_no_defects_are_planted(tmp_path: Path) -> None:
    make(tmp_path / "export.json", 50, defects=False)
    make(tmp_path / "export.jsonl", 50, defects=False)
    lines = (tmp_path / "export.jsonl").read_bytes().splitlines()
    assert json.loads((tmp_path / "export.json").read_bytes()) == [json.loads(line) for line in lines]


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "json.zst"])
def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, ending: str) -> None:
    make(tmp_path / f"one.{ending}", 1000)
    make(tmp_path / f"two.{ending}", 1000)
    make(tmp_path / f"other.{ending}", 1000, seed=2)
    one, two, other = ((tmp_path / f"{name}.{ending}").read_bytes() for name in ("one", "two", "other"))
    assert one == two != other


def test_a_larger_export_holds_every_defect_and_few_rejects(tmp_path: Path) -> None:
    answers = make(tmp_path / "export.jsonl", 20_000)
    assert {kind_name(kind) for kind in KINDS} == answers.planted.keys()
    assert answers.rejected / answers.lines < 0.009
    assert {kind_name(kind) for kind in kinds_for(is_array=True)} == answers.planted.keys()


def test_without_defects_every_record_is_loaded(tmp_path: Path) -> None:
    answers = make(tmp_path / "export.jsonl", 11_000, defects=False)
    assert (answers.loaded, answers.rejected, answers.naive_times) == (11_000, 0, 0)


def test_the_command_covers_the_hours_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "calls.json"
    words = ["generate", "api_monitoring", "--count", "500", "--hours", "3", "--start", "2024-05-01T10:00:00Z"]
    result = CliRunner().invoke(cli, [*words, "--no-defects", "--seed", "4", "--out", str(out)])
    assert result.exit_code == 0, result.output
    times = sorted(record["timestamp"] for record in json.loads(out.read_bytes()))
    assert times[0] >= "2024-05-01T10:00:00" and times[-1] < "2024-05-01T13:00:00"
    assert times[-1] > "2024-05-01T12:50:00"
    assert json.loads((tmp_path / "calls.json.answers.json").read_bytes())["loaded"] == 500


def test_the_command_gives_the_same_bytes_on_any_day(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["generate", "api_monitoring", "--count", "9", "--out", str(tmp_path / "x.jsonl")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "x.jsonl").read_bytes().count(b'"timestamp":"2024-01-01T') > 5
