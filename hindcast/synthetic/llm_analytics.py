"""Generates exports of LLM analytics with large values of three content types, and the SHA-256 of each in a key.

Written as JSON lines, or, when the file's name says `.http`, as captured requests of the same events.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from hindcast.atomic import write_atomically
from hindcast.synthetic.llm_records import Drawn, LargeValues, draw_event, write_json
from hindcast.synthetic.llm_requests import REQUEST_ODD, REQUEST_REJECTS, write_request
from hindcast.synthetic.output import write_answers, write_export
from hindcast.synthetic.spec import Answers, GenerateSpec, MonthCount

ODD: Final = (
    "duplicate", "other_value", "bad_uuid", "no_model", "cut_off", "unknown_event", "bad_time", "nul", "naive_time",
)  # fmt: skip
ODD_EVERY: Final = 67  # few enough rejects for the gate
_REJECTS: Final = {
    "bad_uuid": "invalid_uuid",
    "no_model": "missing_field",
    "cut_off": "malformed_json",
    "unknown_event": "unknown_event",
    "bad_time": "invalid_time",
}
_REQUESTS: Final = re.compile(r"\.http(\.gz|\.zst)?$", re.IGNORECASE)


@dataclass(frozen=True)
class _Notation:
    """How events are written: what odd records there are, the codes of those that are rejects, and the writer."""

    odd: tuple[str, ...]
    rejects: Mapping[str, str]
    write: Callable[[Drawn, str], str]


class _Books:
    def __init__(self) -> None:
        self.rejects: Counter[str] = Counter()
        self.months: Counter[tuple[str, str]] = Counter()
        self.planted: Counter[str] = Counter()
        self.times: list[datetime] = []
        self.values: list[bytes] = []


def generate_llm_analytics(spec: GenerateSpec) -> Answers:
    """Write the export and its answer key, with a few large values up to 100 KB."""
    return write_llm(spec, LargeValues())


def values_path(target: Path) -> Path:
    """Where the key of the large values lies: lines of uuid, property, size and SHA-256."""
    return target.with_name(f"{target.name}.values.answers.json")


def write_llm(spec: GenerateSpec, large: LargeValues) -> Answers:
    """Write the export, its answer key, and the key of its large values."""
    books = _Books()
    values_path(spec.out).unlink(missing_ok=True)
    files = write_export(spec, _make_blocks(spec, large, books))
    write_atomically(values_path(spec.out), b"".join(books.values))
    planted, rejected = books.planted, books.rejects.total()
    answers = Answers(
        format=spec.format,
        count=spec.count,
        seed=spec.seed,
        lines=spec.count,
        staged=spec.count - rejected,
        loaded=spec.count - rejected - planted["duplicate"] - planted["other_value"],
        duplicate=planted["duplicate"],
        conflict=planted["other_value"],
        rejected=rejected,
        rejects_by_reason=dict(books.rejects),
        sanitised=planted["nul"],
        naive_times=planted["naive_time"],
        times_differ=0,
        unknown_properties={},
        first_at=min(books.times).isoformat() if books.times else None,
        last_at=max(books.times).isoformat() if books.times else None,
        months=[MonthCount(month, kind, count) for (month, kind), count in sorted(books.months.items())],
        files=files,
        planted=dict(planted),
    )
    write_answers(spec.out, answers)
    return answers


def _make_blocks(spec: GenerateSpec, large: LargeValues, books: _Books) -> Iterator[list[str]]:
    notation = _AS_REQUESTS if _REQUESTS.search(spec.out.name) else _AS_LINES
    before: Drawn | None = None
    for number in range(spec.count):
        is_odd = spec.defects and number % ODD_EVERY == ODD_EVERY - 1
        kind = notation.odd[number // ODD_EVERY % len(notation.odd)] if is_odd else ""
        if kind in ("duplicate", "other_value") and before:
            books.planted[kind] += 1
            drawn = before if kind == "duplicate" else _with_other_value(before)
        else:
            drawn = draw_event(spec, large, number)
            kind = "" if kind in ("duplicate", "other_value") else kind  # nothing before it to repeat
            _spoil(drawn, kind, books, notation)
            if kind not in notation.rejects:
                before = drawn
                _count(drawn, books)
        yield [notation.write(drawn, kind)]
        if spec.progress is not None:
            spec.progress(number + 1)


def _with_other_value(drawn: Drawn) -> Drawn:
    record = drawn.record | {"properties": drawn.record["properties"] | {"$ai_output_tokens": -1}}
    return Drawn(drawn.number, record, drawn.payloads, drawn.moment)


def _spoil(drawn: Drawn, kind: str, books: _Books, notation: _Notation) -> None:
    record = drawn.record
    if kind:
        books.planted[kind] += 1
    if kind in notation.rejects:
        books.rejects[notation.rejects[kind]] += 1
    if kind == "bad_uuid":
        record["uuid"] = record["uuid"][:-1]
    elif kind == "no_model":
        del record["properties"]["$ai_model"]
    elif kind == "unknown_event":
        record["event"] = "$ai_surprise"
    elif kind == "bad_time":
        record["timestamp"] = "yesterday"
    elif kind == "nul":
        record["properties"]["note"] = "a\0b"
    elif kind == "naive_time":
        record["timestamp"] = record["timestamp"].removesuffix("Z")
    elif kind == "dated":
        del record["timestamp"]
        drawn.moment = drawn.moment.replace(microsecond=0)  # a Date has whole seconds


def _count(drawn: Drawn, books: _Books) -> None:
    books.months[f"{drawn.moment:%Y-%m}", drawn.record["event"]] += 1
    books.times = [min([drawn.moment, *books.times]), max([drawn.moment, *books.times])]
    for name, payload in drawn.payloads.items():
        digest = hashlib.sha256(payload.data).hexdigest()
        facts = {"uuid": drawn.record["uuid"], "property": name, "size_bytes": len(payload.data), "sha256": digest}
        books.values.append(json.dumps(facts).encode() + b"\n")


def _write_line(drawn: Drawn, kind: str) -> str:
    line = write_json(drawn.record)
    return line[: len(line) // 2] if kind == "cut_off" else line


_AS_LINES: Final = _Notation(ODD, _REJECTS, _write_line)
_AS_REQUESTS: Final = _Notation((*ODD, *REQUEST_ODD), REQUEST_REJECTS, write_request)
