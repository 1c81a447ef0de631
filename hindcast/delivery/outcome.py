"""Records on their way, and what became of them."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec


class Item(NamedTuple):
    """A record: its number in the export from 0, its part and line, its bytes."""

    number: int
    part: str
    line: int
    raw: bytes


@dataclass(frozen=True)
class Outcome:
    """What became of some records together; `reason` says why they failed."""

    items: list[Item]
    reason: str | None = None
    is_already_there: bool = False


def read_answer(items: list[Item], body: bytes) -> list[Outcome]:
    """The outcomes that a successful answer tells: of each event where it lists them, else of all alike."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return [Outcome(items)]
    results = answer.get("results") if isinstance(answer, dict) else None
    if isinstance(results, list) and len(results) == len(items):
        return [_read_result(item, result) for item, result in zip(items, results, strict=True)]
    return [Outcome(items, is_already_there=_says_there(answer))]


def _read_result(item: Item, result: Any) -> Outcome:
    if not isinstance(result, dict):
        return Outcome([item])
    status = result.get("status_code", result.get("status"))
    error = result.get("error")
    if error or (isinstance(status, int) and status >= 400) or status in ("error", "failed", "rejected"):
        return Outcome([item], f"refused in a batch: {str(error or status)[:200]}")
    return Outcome([item], is_already_there=_says_there(result))


def _says_there(answer: Any) -> bool:
    if not isinstance(answer, dict):
        return False
    texts = [str(answer.get(name, "")).lower() for name in ("message", "status", "detail")]
    return any("already exists" in text or text in ("duplicate", "exists") for text in texts)
