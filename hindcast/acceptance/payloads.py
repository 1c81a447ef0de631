"""Values of every size and content type. The same seed gives the same bytes."""

import gzip
import json
import random
from dataclasses import dataclass
from typing import Final

KB: Final = 1024
MB: Final = 1024 * KB
SIZES: Final = {"1 KB": KB, "100 KB": 100 * KB, "1 MB": MB, "10 MB": 10 * MB}
JSON, TEXT, BINARY = CONTENT_TYPES = ("application/json", "text/plain", "application/octet-stream")
_WORDS: Final = (
    "prompt",
    "answer",
    "token",
    "model",
    "naïve",
    "日本語",
    "emoji 🙂",
    "line\r\n",
    "--boundary",
    '"quoted"',
)


@dataclass(frozen=True)
class Payload:
    """The bytes of a value before any compression, and what they are."""

    data: bytes
    content_type: str


def make_payload(size: int, content_type: str, seed: int) -> Payload:
    """A value of exactly so many bytes, at least 16: JSON that parses, UTF-8 text, or bytes of every value."""
    draw = random.Random(f"{seed}:{size}:{content_type}")
    if content_type == BINARY:
        return Payload(draw.randbytes(size), content_type)
    block = " ".join(draw.choice(_WORDS) for _ in range(min(2_000, size // 4))) + " "
    if content_type == JSON:
        # Lone quotes and line breaks are escaped by JSON itself; the rest is filled with one-byte characters.
        unit = json.dumps(block, ensure_ascii=False)[1:-1].encode()
        head, tail = b'{"text":"', b'"}'
        whole = unit * ((size - len(head) - len(tail)) // len(unit))
        return Payload(head + whole + b"x" * (size - len(head) - len(tail) - len(whole)) + tail, content_type)
    unit = block.encode()
    whole = unit * (size // len(unit))
    return Payload(whole + b"x" * (size - len(whole)), content_type)


def make_mixed(count: int, seed: int, size: int = 3 * KB) -> list[Payload]:
    """So many values of different sizes, content types in turn."""
    return [
        make_payload(size + 997 * number, CONTENT_TYPES[number % len(CONTENT_TYPES)], seed + number)
        for number in range(count)
    ]


def compress(data: bytes) -> bytes:
    """gzip with no time in it, so that the same bytes stay the same."""
    return gzip.compress(data, compresslevel=6, mtime=0)
