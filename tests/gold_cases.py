"""Records and what must become of them, as the gold files write it."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from hindcast.canonical import encode_value
from hindcast.errors import RecordError
from hindcast.event import Event, Skipped
from hindcast.formats.base import Context, Format


def show(event: Event) -> dict[str, Any]:
    """An event without what is absent."""
    fields = {name: getattr(event, name) for name in Event.__struct_fields__}
    fields |= {"occurred_at": event.occurred_at.isoformat(), "payload": json.loads(encode_value(event.payload))}
    return {name: value for name, value in fields.items() if value not in (None, "", False) or name == "payload"}


def decide(module: Format, raw: bytes, context: Context) -> dict[str, Any]:
    """What becomes of a record: its event, its reject, or why it is skipped."""
    try:
        event = module.decode(raw, context)
    except RecordError as fault:
        return {"reject": fault.code}
    return {"skipped": event.reason} if isinstance(event, Skipped) else {"event": show(event)}


def check_case(module: Format, case: Path, context: Context) -> None:
    """Compare a folder's `input.jsonl` with its `expected.json`."""
    expected = json.loads((case / "expected.json").read_text("utf-8"))
    lines = (case / "input.jsonl").read_bytes().splitlines()
    for line, wanted in zip(lines, expected["records"], strict=True):
        assert decide(module, line, context) == wanted, line.decode(errors="replace")
    assert context.unknown_properties == Counter(expected.get("unknown_properties", {}))
    assert +context.notes == Counter(expected.get("notes", {}))
