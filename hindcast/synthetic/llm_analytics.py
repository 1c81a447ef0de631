"""Generates exports of LLM analytics with large values of three content types, and the SHA-256 of each in a key."""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from hindcast.atomic import write_atomically
from hindcast.synthetic.draws import draw_words
from hindcast.synthetic.output import write_answers, write_export
from hindcast.synthetic.spec import Answers, GenerateSpec, MonthCount

TYPES: Final = ("$ai_generation", "$ai_trace", "$ai_span", "$ai_embedding", "$ai_metric", "$ai_feedback")
LARGE: Final = {
    "$ai_generation": ("$ai_input", "$ai_output_choices"),
    "$ai_trace": ("$ai_input_state", "$ai_output_state"),
    "$ai_span": ("$ai_input_state", "$ai_output_state"),
    "$ai_embedding": ("$ai_input",),
}
MODELS: Final = (("gpt-4o", "openai"), ("claude-sonnet-4", "anthropic"), ("gemini-2.5-pro", "google"))
ODD: Final = (
    "duplicate", "other_value", "bad_uuid", "no_model", "cut_off", "unknown_event", "bad_time", "nul", "naive_time",
)  # fmt: skip
ODD_EVERY: Final = 67  # few enough rejects for the gate
LONGEST_RECORD: Final = 32 * 1024 * 1024  # with room to the limit of 40 MiB
_REJECTS: Final = {
    "bad_uuid": "invalid_uuid",
    "no_model": "missing_field",
    "cut_off": "malformed_json",
    "unknown_event": "unknown_event",
    "bad_time": "invalid_time",
}


@dataclass(frozen=True)
class LargeValues:
    """How many large values an event has, at least and at most, and how long their bytes are."""

    fewest: int = 0
    most: int = 2
    smallest: int = 1_000
    largest: int = 100_000


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
    before: tuple[dict[str, Any], str] | None = None
    for number in range(spec.count):
        kind = ODD[number // ODD_EVERY % len(ODD)] if spec.defects and number % ODD_EVERY == ODD_EVERY - 1 else ""
        if kind in ("duplicate", "other_value") and before:
            books.planted[kind] += 1
            line = before[1] if kind == "duplicate" else _write(_with_other_value(before[0]))
        else:
            record, digests = _make_record(spec, large, number)
            line = _spoil(record, kind, books)
            if kind not in _REJECTS:
                before = (record, line)
                _count(record, books)
                for name, size, digest in digests:
                    facts = {"uuid": record["uuid"], "property": name, "size_bytes": size, "sha256": digest}
                    books.values.append(json.dumps(facts).encode() + b"\n")
        yield [line]
        if spec.progress is not None:
            spec.progress(number + 1)


def _make_record(
    spec: GenerateSpec, large: LargeValues, number: int
) -> tuple[dict[str, Any], list[tuple[str, int, str]]]:
    words = [int(word) for word in draw_words(spec.seed, number, 0, (1, 16))[0]]
    kind = TYPES[number % len(TYPES)]
    span = int((spec.end - spec.start) / timedelta(milliseconds=1))
    moment = spec.start + timedelta(milliseconds=span * number // spec.count)
    model, provider = MODELS[words[0] % len(MODELS)]
    digits = f"{words[1]:016x}{words[2]:016x}"
    own_id = f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:32]}"
    properties: dict[str, Any] = {
        "$ai_model": model,
        "$ai_provider": provider,
        "$ai_trace_id": f"trace_{words[3] % 10_000}",
        "$ai_input_tokens": words[4] % 4_000,
        "$ai_output_tokens": words[5] % 1_000,
        "$ai_latency": words[6] % 30_000 / 1000,
        "$ai_is_error": words[7] % 50 == 0,
    }
    digests = []
    room = LONGEST_RECORD
    for place in range(large.fewest + words[8] % (large.most - large.fewest + 1)):
        names = LARGE.get(kind, ())
        name = names[place] if place < len(names) else f"attachment_{place}"
        size = _draw_size(words[9], place, large)
        if size * 4 // 3 > room:
            break
        room -= size * 4 // 3
        value, source = _make_value(spec.seed, number, place, size)
        properties[name] = value
        digests.append((name, len(source), hashlib.sha256(source).hexdigest()))
    moment_text = moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    return {
        "event": kind,
        "distinct_id": f"user_{words[10] % 500}",
        "uuid": own_id,
        "timestamp": moment_text,
        "properties": properties,
    }, digests


def _draw_size(word: int, place: int, large: LargeValues) -> int:
    """Sizes of every magnitude between the two: as many of 1 to 10 KB as of 1 to 10 MB."""
    drawn = (word >> (place * 6 % 58)) % 64 / 63
    return int(large.smallest * (large.largest / large.smallest) ** drawn)


def _make_value(seed: int, number: int, place: int, size: int) -> tuple[Any, bytes]:
    """A value as the record has it, and the bytes that a reader of its object must get."""
    octets = draw_words(seed, number, 1 + place, (1, size // 8 + 1)).astype("<u8").tobytes()[:size]
    form = (number + place) % 3
    if form == 0:
        return "data:application/octet-stream;base64," + base64.b64encode(octets).decode(), octets
    text = base64.b64encode(octets[: size * 3 // 4]).decode()
    if form == 1:
        text = "Grüße \n" + text
        return text, text.encode()
    value = [{"role": "user", "content": text}]
    return value, _write(value).encode()


def _with_other_value(record: dict[str, Any]) -> dict[str, Any]:
    return record | {"properties": record["properties"] | {"$ai_output_tokens": -1}}


def _spoil(record: dict[str, Any], kind: str, books: _Books) -> str:
    if kind in ("duplicate", "other_value"):
        return _write(record)  # nothing before it to repeat
    if kind:
        books.planted[kind] += 1
    if kind in _REJECTS:
        books.rejects[_REJECTS[kind]] += 1
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
    line = _write(record)
    return line[: len(line) // 2] if kind == "cut_off" else line


def _count(record: dict[str, Any], books: _Books) -> None:
    moment = datetime.fromisoformat(record["timestamp"]).replace(tzinfo=UTC)
    books.months[f"{moment:%Y-%m}", record["event"]] += 1
    books.times.append(moment)
    books.times[:] = [min(books.times), max(books.times)]


def _write(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
