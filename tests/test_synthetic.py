"""The generator of analytics_history exports, checked by a slow reading of its files in plain Python."""

import dataclasses
import gzip
import json
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import zstandard

from hindcast.errors import ConfigurationError
from hindcast.synthetic import Answers, GenerateSpec, generate
from hindcast.synthetic.draws import draw_words
from hindcast.synthetic.history_plan import KINDS
from hindcast.synthetic.places import kind_name, kind_totals

NAMES = {
    "event_type": ("event_type", "eventType", "type"),
    "time": ("occurred_at", "occurredAt", "created_at", "createdAt", "timestamp", "time"),
    "payload": ("payload", "metadata", "meta", "data"),
    "own_id": ("event_id", "eventId", "client_event_id", "clientEventId", "id"),
    **{
        name: (name, re.sub("_(.)", lambda match: match[1].upper(), name))
        for name in (
            "user_id",
            "anonymous_id",
            "course_id",
            "lesson_id",
            "module_id",
            "session_id",
            "user_agent",
        )
    },
}
IDS = tuple(NAMES)[3:]
KNOWN = {spelling for spellings in NAMES.values() for spelling in spellings}
HUGE_NUMBER = re.compile(r"[eE][+-]?\d*[1-9]\d{3}|\d{4001}")
# among JSON's escapes: NUL, a high half without its low half, a low half without its high half
UNSTORABLE = re.compile(r"\\u0000|\\ud[89ab]..(?!\\ud[c-f])|(?<!\\ud[89ab]..)\\ud[c-f]")


class Reject(Exception):
    """The slow reader's word for a reject; the message is the code."""


def first_of(record: dict[str, Any], field: str) -> Any:
    return next((record[name] for name in NAMES[field] if record.get(name) is not None), None)


def depth(value: Any) -> int:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return isinstance(value, dict | list) + max(map(depth, children), default=0)


def read_time(value: Any) -> tuple[datetime, bool]:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    if value is None:
        raise Reject("missing_time")
    try:
        if isinstance(value, bool):
            raise ValueError(value)
        if isinstance(value, int | float) or value.isdigit():
            number = float(value)
            at, naive = epoch + timedelta(milliseconds=number if number >= 1e11 else number * 1000), False
        else:
            at = datetime.fromisoformat(value)
            naive = at.tzinfo is None
    except ValueError:
        raise Reject("invalid_time") from None
    at = at.replace(tzinfo=UTC) if naive else at.astimezone(UTC)
    if not epoch <= at <= datetime.now(UTC) + timedelta(days=1):
        raise Reject("time_out_of_range")
    return at, naive


def parse(line: bytes) -> dict[str, Any]:
    try:
        text = line.decode()  # int refuses the constants NaN and Infinity
        record = json.loads(text, parse_constant=int, parse_int=lambda digits: int(digits[:4000]))
    except UnicodeDecodeError:
        raise Reject("invalid_utf8") from None
    except ValueError:
        raise Reject("malformed_json") from None
    if not isinstance(record, dict):
        raise Reject("not_an_object")
    if depth(record) > 100:
        raise Reject("too_deep")
    if HUGE_NUMBER.search(re.sub('"[^"]*"', "", text)):
        raise Reject("number_out_of_range")
    return record


def read_columns(record: dict[str, Any]) -> dict[str, Any]:
    event_type = first_of(record, "event_type")
    values = {name: first_of(record, name) for name in IDS}
    if event_type is None or (isinstance(event_type, str) and not event_type.strip()):
        raise Reject("missing_event_type")
    if not isinstance(event_type, str):
        raise Reject("invalid_type")
    if any(isinstance(value, bool | float | dict | list) for value in values.values()):
        raise Reject("invalid_type")
    columns = {name: None if value in (None, "") else str(value) for name, value in values.items()}
    if any(len(text or "") > 256 for text in (event_type, columns["course_id"], columns["lesson_id"])):
        raise Reject("value_too_long")
    return columns | {"event_type": event_type}


def read_slowly(files: list[Path]) -> dict[str, Any]:
    """Apply the rules of the format one record after the other, keeping everything in memory."""
    books: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    months: Counter[tuple[str, str]] = Counter()
    unknown: Counter[str] = Counter()
    seen: set[str] = set()
    times: list[datetime] = []
    for line in (line for file in files for line in file.read_bytes().split(b"\n") if line.strip()):
        books["lines"] += 1
        try:
            record = parse(line)
            columns = read_columns(record)
            at, naive = read_time(first_of(record, "time"))
        except Reject as reject:
            reasons[str(reject)] += 1
            continue
        books["staged"] += 1
        books["naive_times"] += naive
        both = {"occurred_at", "created_at"} <= record.keys()
        books["times_differ"] += both and record["occurred_at"] != record["created_at"]
        unknown.update(record.keys() - KNOWN)
        times.append(at)
        verdict = judge(columns | {"payload": first_of(record, "payload")}, at, seen)
        books[verdict] += 1
        if verdict == "loaded":
            months[at.strftime("%Y-%m"), columns["event_type"]] += 1
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


def judge(event: dict[str, Any], at: datetime, seen: set[str]) -> str:
    content = json.dumps([event, at.isoformat()], sort_keys=True).replace(".0,", ",").replace(".0}", "}")
    own_id = event["own_id"] and f"own id {event['own_id']}"
    if content in seen:
        return "duplicate"
    if own_id in seen:
        return "conflict"
    seen |= {content, own_id} - {None}
    return "loaded"


def make(out: Path, count: int = 5000, **changes: Any) -> Answers:
    return generate(GenerateSpec("analytics_history", count=count, out=out, **{"seed": 1, **changes}))


def compared(answers: Answers) -> dict[str, Any]:
    key = dataclasses.asdict(answers)
    for name in ("format", "count", "seed", "files", "planted", "skipped", "out_of_window", "derived"):
        del key[name]
    return key


@pytest.mark.parametrize(("count", "seed"), [(5000, 1), (21_000, 2**64 - 1), (1000, 3), (200, 4), (37, 5), (1, 6)])
def test_a_slow_reading_of_the_file_finds_what_the_answer_key_says(tmp_path: Path, count: int, seed: int) -> None:
    answers = make(tmp_path / "export.jsonl", count, seed=seed)
    found = read_slowly([tmp_path / "export.jsonl"])
    expected = compared(answers)
    assert {name: found.get(name, 0) for name in expected} == expected


def test_the_books_balance(tmp_path: Path) -> None:
    answers = make(tmp_path / "export.jsonl")
    assert answers.lines == answers.count == answers.staged + answers.rejected
    assert answers.staged == answers.loaded + answers.duplicate + answers.conflict
    assert answers.loaded == sum(month.export for month in answers.months)
    assert answers.rejected == sum(answers.rejects_by_reason.values())


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "jsonl.zst"])
def test_the_same_seed_and_count_give_the_same_bytes(tmp_path: Path, ending: str) -> None:
    make(tmp_path / f"one.{ending}", 1000)
    make(tmp_path / f"two.{ending}", 1000)
    assert (tmp_path / f"one.{ending}").read_bytes() == (tmp_path / f"two.{ending}").read_bytes()


def test_compressed_exports_hold_the_same_lines(tmp_path: Path) -> None:
    answers = {ending: make(tmp_path / f"export{ending}", 1000) for ending in ("", ".gz", ".zst")}
    plain = (tmp_path / "export").read_bytes()
    assert gzip.decompress((tmp_path / "export.gz").read_bytes()) == plain
    reader = zstandard.ZstdDecompressor().stream_reader((tmp_path / "export.zst").read_bytes())
    assert reader.read() == plain
    assert answers[""].months == answers[".gz"].months == answers[".zst"].months


def test_parts_in_order_are_the_single_file(tmp_path: Path) -> None:
    make(tmp_path / "export.jsonl", 1000)
    answers = make(tmp_path / "parts", 1000, parts=7)
    parts = sorted((tmp_path / "parts").iterdir())
    assert b"".join(part.read_bytes() for part in parts) == (tmp_path / "export.jsonl").read_bytes()
    assert [(file.name, file.size_bytes) for file in answers.files] == [(p.name, p.stat().st_size) for p in parts]
    assert sum(file.records for file in answers.files) == 1000


def test_the_answer_key_beside_the_export_is_the_returned_one(tmp_path: Path) -> None:
    answers = make(tmp_path / "export.jsonl", 300)
    written = json.loads((tmp_path / "export.jsonl.answers.json").read_text(encoding="utf-8"))
    assert written == dataclasses.asdict(answers)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export.jsonl", "export.jsonl.answers.json"]


def test_an_interrupted_generation_leaves_the_old_export_alone(tmp_path: Path) -> None:
    def stop(records: int) -> None:
        raise KeyboardInterrupt

    make(tmp_path / "export.jsonl", 100)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "export.jsonl", 200, progress=stop)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_thousand_records_hold_every_common_defect_and_pass_the_gate(tmp_path: Path) -> None:
    answers = make(tmp_path / "export.jsonl", 1000)
    missing = {kind_name(kind) for kind in KINDS} - answers.planted.keys()
    assert missing == {"wrong_type", "too_deep", "huge_number"}  # they wait for room among one in a hundred
    assert answers.rejected <= 10


def test_a_larger_export_holds_every_defect_and_few_rejects(tmp_path: Path) -> None:
    answers = make(tmp_path / "export.jsonl", 20_000)
    assert {kind_name(kind) for kind in KINDS} == answers.planted.keys()
    assert answers.rejected / answers.lines < 0.006


@pytest.mark.parametrize("count", [1, 4, 5, 111, 112, 224, 225, 1000, 12_345, 100_000_000])
def test_odd_records_never_outnumber_the_places_for_them(count: int) -> None:
    totals = kind_totals(count, KINDS)
    assert min(totals) >= 0
    assert sum(totals) <= count // 5
    assert sum(n for n, kind in zip(totals, KINDS, strict=True) if kind.reject) <= count * 0.01


def test_without_defects_every_record_is_loaded(tmp_path: Path) -> None:
    answers = make(tmp_path / "export.jsonl", 11_000, defects=False)
    assert (answers.loaded, answers.rejected, answers.naive_times) == (11_000, 0, 0)


def test_valid_events_lie_in_the_window(tmp_path: Path) -> None:
    start = datetime(2024, 3, 10, 1, 2, 3, 4567, tzinfo=UTC)
    answers = make(tmp_path / "export.jsonl", 3000, start=start, end=start + timedelta(hours=1))
    assert answers.first_at is not None and answers.last_at is not None
    assert start <= datetime.fromisoformat(answers.first_at)
    assert datetime.fromisoformat(answers.last_at) < start + timedelta(hours=1)


def test_random_words_are_those_of_philox_on_any_machine() -> None:
    assert draw_words(7, 3, 1, (1, 2)).tolist() == [[3845544696532098304, 9931676275916508706]]


@pytest.mark.parametrize(
    "changes",
    [
        {"count": 0},
        {"seed": -1},
        {"parts": 6, "count": 5},
        {"format": "unheard_of"},
        {"start": datetime(2024, 5, 1)},
        {"end": datetime(2024, 1, 1, tzinfo=UTC)},
        {"end": datetime(2999, 1, 1, tzinfo=UTC)},
    ],
)
def test_a_wrong_request_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    request: dict[str, Any] = {"format": "analytics_history", "count": 5, "seed": 1, "out": tmp_path / "x"}
    with pytest.raises(ConfigurationError):
        generate(GenerateSpec(**request | changes))


def test_a_folder_that_holds_something_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "precious").write_text("mine")
    for parts in (1, 3):
        with pytest.raises(ConfigurationError, match="folder"):
            make(tmp_path / "folder", 100, parts=parts)
    assert (tmp_path / "folder" / "precious").read_text() == "mine"
