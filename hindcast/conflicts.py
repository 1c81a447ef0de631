"""Records that claim to be a known event but say something else: which fields differ, and how."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from hindcast.canonical import decode_value, encode_value
from hindcast.event import CONTENT_FIELDS
from hindcast.staging import read_chunk
from hindcast.times import format_utc

Place = tuple[int, int, int]
COMPARED_FIELDS: Final = ("created_at", *CONTENT_FIELDS, "payload")


class Conflict(msgspec.Struct):
    """A record kept out because it contradicts another of its export. `fields` is {name: [kept, other]}."""

    chunk: int
    row: int
    event_id: str
    part: str
    line: int
    fields: dict[str, list[Any]]
    against: str


def diff_rows(kept: dict[str, Any], other: dict[str, Any]) -> dict[str, list[Any]]:
    """Fields that differ between two rows; payloads are compared, and shown, key by key."""
    fields: dict[str, list[Any]] = {}
    for name in COMPARED_FIELDS:
        one, two = kept.get(name), other.get(name)
        if name == "payload":
            fields.update(_diff_payloads(_as_value(one), _as_value(two)))
        elif one != two:
            fields[name] = [_show(one), _show(two)]
    return fields


def fetch_rows(folder: Path, places: Iterable[Place]) -> dict[Place, dict[str, Any]]:
    """Staged rows by their places: segment, row group and row. Each chunk is read once."""
    wanted: dict[tuple[int, int], set[int]] = {}
    for segment, row_group, row in places:
        wanted.setdefault((segment, row_group), set()).add(row)
    found: dict[Place, dict[str, Any]] = {}
    for (segment, row_group), rows in wanted.items():
        ordered = sorted(rows)
        values = read_chunk(folder, segment, row_group).take(ordered).to_pylist()
        found.update(zip([(segment, row_group, row) for row in ordered], values, strict=True))
    return found


def _diff_payloads(one: Any, two: Any) -> dict[str, list[Any]]:
    if isinstance(one, dict) and isinstance(two, dict):
        names = sorted(one.keys() | two.keys())
        return {f"payload.{n}": [one.get(n), two.get(n)] for n in names if _differ(one, two, n)}
    return {} if encode_value(one) == encode_value(two) else {"payload": [one, two]}


def _differ(one: dict[str, Any], two: dict[str, Any], name: str) -> bool:
    # As JSON: to Python, true is 1.
    return (name in one) != (name in two) or encode_value(one.get(name)) != encode_value(two.get(name))


def _as_value(payload: Any) -> Any:
    return decode_value(payload.encode()) if isinstance(payload, str) else payload


def _show(value: Any) -> Any:
    return format_utc(value) if hasattr(value, "astimezone") else value
