"""Spot checks: records read again from the export's own bytes, decoded afresh, and looked up in the table."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import Final
from uuid import UUID

import psycopg

from hindcast.archived_ids import ArchivedIds
from hindcast.chunk_proof import Difference
from hindcast.conflicts import diff_rows
from hindcast.database import connect
from hindcast.errors import ExportError, RecordError
from hindcast.event import Event, Identified
from hindcast.export import DAMAGE, Bounds, Part, open_part
from hindcast.extract import make_context
from hindcast.formats import find_format
from hindcast.known import KnownRow, fetch_by_id
from hindcast.load_task import LoadTask
from hindcast.manifest import Manifest, read_repeats
from hindcast.part_records import iter_records
from hindcast.people_links import identify_person
from hindcast.plan import Plan, load_plan
from hindcast.records import Progress, iter_lines
from hindcast.settings import Settings, load_settings
from hindcast.staging import read_chunk
from hindcast.times import to_microseconds

_AT_ONCE: Final = 25  # records in memory, each of any size that is allowed


@dataclass(frozen=True)
class Spot:
    """One record to look at: its part, the line there, and its first byte."""

    part: str
    line: int
    byte_offset: int


@dataclass(frozen=True)
class SpotResult:
    """How many records were re-read and found equal; the rest is in `differences`.

    Those whose rows were rolled back since are counted by themselves alone.
    """

    checked: int
    equal: int
    differences: list[Difference]
    rolled_back: int = 0


def spot_check(task: LoadTask, count: int) -> SpotResult:
    """Re-read up to `count` records, the same ones for the same run; runs in a worker.

    Raises ExportError when the export is gone or changed.
    """
    folder, settings = task.staged, load_settings()
    plan, manifest = load_plan(folder), task.read_manifest()
    with connect(task.url, settings) as connection:
        lines = connection.execute(
            "SELECT part, line FROM import_conflicts WHERE run_id = %s AND NOT is_replaced", (task.run_id,)
        )
        kept_out = set(lines)
        drawn = choose_spots(manifest, folder, count, task.run_id)
        spots = [spot for spot in drawn if (spot.part, spot.line) not in kept_out]
        archived, rolled_back = ArchivedIds(connection, settings), 0
        differences: list[Difference] = []
        read = ((spot, _decode(plan, raw, settings)) for spot, raw in _read_again(plan, spots, settings))
        while some := list(islice(read, _AT_ONCE)):
            for spot, event, own, row in _look_up(connection, plan.format, some):
                if row is None and archived.holds(own.event_id, event.occurred_at):
                    rolled_back += 1
                else:
                    differences.extend(_compare(spot, event, own, plan.format, row))
    unequal = {(d.part, d.line) for d in differences}
    checked = len(spots) - rolled_back
    return SpotResult(checked, checked - len(unequal), differences, rolled_back)


def _look_up(
    connection: psycopg.Connection, source: str, records: Sequence[tuple[Spot, Event]]
) -> Iterator[tuple[Spot, Event, Identified, KnownRow | None]]:
    derived = [identify_person(connection, event, source) for _, event in records]
    found = fetch_by_id(connection, [d.event_id for d in derived], [d.microseconds for d in derived])
    known = {(row.event_id.bytes, to_microseconds(row.created_at)): row for row in found}
    elsewhen = {event_id: row for (event_id, _), row in known.items()}
    for (spot, event), own in zip(records, derived, strict=True):
        yield spot, event, own, known.get((own.event_id, own.microseconds)) or elsewhen.get(own.event_id)


def choose_spots(manifest: Manifest, folder: Path, count: int, run_id: UUID) -> list[Spot]:
    """Draw records evenly over the export, without those that repeat another; ordered by part and byte."""
    random = Random(run_id.int)
    chunks = [chunk for chunk in manifest.chunks if chunk.staged_as.staged]
    drawn: dict[int, set[int]] = defaultdict(set)
    weights = [chunk.staged_as.staged for chunk in chunks]
    for index in random.choices(range(len(chunks)), weights, k=count) if chunks else []:
        drawn[index].add(random.randrange(weights[index]))
    spots: list[Spot] = []
    for index, rows in sorted(drawn.items()):
        chunk = chunks[index]
        repeats = read_repeats(folder, chunk.number) if chunk.duplicate or chunk.conflict else {}
        table = read_chunk(folder, chunk.segment, chunk.staged_as.row_group, ["line", "byte_offset"])
        for row in sorted(rows - repeats.keys()):
            line, offset = table["line"][row].as_py(), table["byte_offset"][row].as_py()
            spots.append(Spot(chunk.part, chunk.line_base + line, offset))
    return spots


def _read_again(plan: Plan, spots: list[Spot], settings: Settings) -> Iterator[tuple[Spot, bytes]]:
    parts = {part.name: part for part in plan.parts}
    bounds = Bounds(settings.max_decompression_ratio, settings.max_member_bytes)
    wanted: dict[str, dict[int, Spot]] = defaultdict(dict)
    for spot in spots:
        wanted[spot.part][spot.byte_offset] = spot
    for name, by_offset in wanted.items():
        found = _seek(parts[name], by_offset, bounds, plan) if parts[name].is_splittable else None
        try:
            yield from found if found is not None else _scan(parts[name], by_offset, bounds, plan)
        except (FileNotFoundError, *DAMAGE) as error:
            raise ExportError(f"{name}: cannot be read again for the spot checks ({error})") from None


def _seek(part: Part, by_offset: dict[int, Spot], bounds: Bounds, plan: Plan) -> Iterator[tuple[Spot, bytes]]:
    for offset, spot in by_offset.items():
        with open_part(part, max(offset - 1, 0), bounds) as stream:
            # Read as a range that begins with this record: its first byte is where a line begins.
            record = next(iter_lines(stream, offset, offset + 1, plan.max_line_bytes, Progress()), None)
            yield spot, record.raw if record else b""


def _scan(part: Part, by_offset: dict[int, Spot], bounds: Bounds, plan: Plan) -> Iterator[tuple[Spot, bytes]]:
    left = len(by_offset)
    with open_part(part, 0, bounds) as stream:
        for record in iter_records(part, stream, plan.max_line_bytes):
            if record.offset in by_offset:
                yield by_offset[record.offset], record.raw
                left -= 1
            if not left:
                return
    raise ExportError(f"{part.name}: ends before {left} of its records; the export changed")


def _decode(plan: Plan, raw: bytes, settings: Settings) -> Event:
    try:
        decoded = find_format(plan.format).decode(raw, make_context(plan, settings))
    except RecordError as error:
        raise ExportError(f"a record that was staged is now rejected ({error}): the export changed") from None
    if not isinstance(decoded, Event):
        raise ExportError("a record that was staged is now skipped: the export changed")
    return decoded


def _compare(
    spot: Spot, event: Event, derived: Identified, source: str, known: KnownRow | None
) -> Iterator[Difference]:
    if known is None:
        yield Difference(spot.part, spot.line, "(row)", "present", "missing")
    elif known.content_hash != derived.content_hash:
        values = {name: getattr(event, name, None) for name in known.values}
        values |= {"source": source, "created_at": event.occurred_at, "payload": derived.payload.decode()}
        for name, (in_table, in_export) in diff_rows(known.values, values).items():
            yield Difference(spot.part, spot.line, name, in_export, in_table)
