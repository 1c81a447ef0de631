"""Drawing events of language models: each a JSON record, and the bytes of its large values."""

import base64
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from hindcast.acceptance.payloads import BINARY, JSON, TEXT, Payload
from hindcast.synthetic.draws import draw_words
from hindcast.synthetic.spec import GenerateSpec

TYPES: Final = ("$ai_generation", "$ai_trace", "$ai_span", "$ai_embedding", "$ai_metric", "$ai_feedback")
LARGE: Final = {
    "$ai_generation": ("$ai_input", "$ai_output_choices"),
    "$ai_trace": ("$ai_input_state", "$ai_output_state"),
    "$ai_span": ("$ai_input_state", "$ai_output_state"),
    "$ai_embedding": ("$ai_input",),
}
MODELS: Final = (("gpt-4o", "openai"), ("claude-sonnet-4", "anthropic"), ("gemini-2.5-pro", "google"))
LONGEST_RECORD: Final = 32 * 1024 * 1024  # as JSON, with room to 40 MiB; as parts under the endpoint's 25 MiB


@dataclass(frozen=True)
class LargeValues:
    """How many large values an event has, at least and at most, and how long their bytes are."""

    fewest: int = 0
    most: int = 2
    smallest: int = 1_000
    largest: int = 100_000


@dataclass
class Drawn:
    """An event: its record with the large values inline, what a reader of its object must get, and its time."""

    number: int
    record: dict[str, Any]
    payloads: dict[str, Payload]
    moment: datetime


def draw_event(spec: GenerateSpec, large: LargeValues, number: int) -> Drawn:
    """The event of a place in the export: the same seed, count and sizes give the same."""
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
    payloads: dict[str, Payload] = {}
    room = LONGEST_RECORD
    for place in range(large.fewest + words[8] % (large.most - large.fewest + 1)):
        names = LARGE.get(kind, ())
        name = names[place] if place < len(names) else f"attachment_{place}"
        size = _draw_size(words[9], place, large)
        if size * 4 // 3 > room:
            break
        room -= size * 4 // 3
        properties[name], payloads[name] = _make_value(spec.seed, number, place, size)
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    record = {
        "event": kind,
        "distinct_id": f"user_{words[10] % 500}",
        "uuid": own_id,
        "timestamp": moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
        "properties": properties,
    }
    return Drawn(number, record, payloads, moment)


def _draw_size(word: int, place: int, large: LargeValues) -> int:
    """Sizes of every magnitude between the two: as many of 1 to 10 KB as of 1 to 10 MB."""
    drawn = (word >> (place * 6 % 58)) % 64 / 63
    return int(large.smallest * (large.largest / large.smallest) ** drawn)


def _make_value(seed: int, number: int, place: int, size: int) -> tuple[Any, Payload]:
    """A value as the record has it, and the bytes that a reader of its object must get."""
    octets = draw_words(seed, number, 1 + place, (1, size // 8 + 1)).astype("<u8").tobytes()[:size]
    form = (number + place) % 3
    if form == 0:
        return "data:application/octet-stream;base64," + base64.b64encode(octets).decode(), Payload(octets, BINARY)
    text = base64.b64encode(octets[: size * 3 // 4]).decode()
    if form == 1:
        text = "Grüße \n" + text
        return text, Payload(text.encode(), TEXT)
    value = [{"role": "user", "content": text}]
    return value, Payload(write_json(value).encode(), JSON)


def write_json(value: Any) -> str:
    """Compact JSON, as records and their values are written."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
