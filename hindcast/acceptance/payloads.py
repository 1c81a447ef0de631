"""Values of every size and content type. The same seed gives the same bytes."""

import gzip
import json
import random
import string
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
    """A value of exactly so many bytes, at least 32: JSON that parses, UTF-8 text, or bytes of every value."""
    draw = random.Random(f"{seed}:{size}:{content_type}")
    if content_type == BINARY:
        return Payload(draw.randbytes(size), content_type)
    if content_type == JSON:
        head, tail = b'{"text":"', b'"}'
        return Payload(head + _fill(size - len(head) - len(tail), draw, is_json=True) + tail, content_type)
    return Payload(_fill(size, draw, is_json=False), content_type)


def _fill(size: int, draw: random.Random, is_json: bool) -> bytes:
    """Numbered blocks of words, so that no two places look the same, and letters to the last byte."""
    words = " ".join(draw.choice(_WORDS) for _ in range(500))
    block = (json.dumps(words, ensure_ascii=False)[1:-1] if is_json else words).encode()
    blocks: list[bytes] = []
    room = size
    while room >= len(block) + 11:
        blocks.append(b"%010d %s" % (len(blocks), block))
        room -= len(block) + 11
    return b"".join(blocks) + "".join(draw.choices(string.ascii_letters, k=room)).encode()


def make_mixed(count: int, seed: int, size: int = 3 * KB) -> list[Payload]:
    """So many values of different sizes, content types in turn."""
    return [
        make_payload(size + 997 * number, CONTENT_TYPES[number % len(CONTENT_TYPES)], seed + number)
        for number in range(count)
    ]


def compress(data: bytes) -> bytes:
    """gzip with no time in it, so that the same bytes stay the same."""
    return gzip.compress(data, compresslevel=6, mtime=0)
