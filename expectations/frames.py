"""Frames for the gates: staged events, and the facts of an export as one row."""

from pathlib import Path
from typing import TYPE_CHECKING

from hindcast.event import format_id
from hindcast.manifest import Manifest, Totals
from hindcast.rollups import RollupProof
from hindcast.staging import read_chunk

if TYPE_CHECKING:
    import pandas

_TEXTS = (
    "tenant",
    "event_type",
    "user_id",
    "anonymous_id",
    "session_id",
    "course_id",
    "lesson_id",
    "module_id",
    "user_agent",
    "payload",
    "source_event_id",
)


def staged_frame(folder: Path, manifest: Manifest, numbers: tuple[int, ...]) -> "pandas.DataFrame":
    """The staged events of some chunks with their part and line; texts are `str`, which GX reads fastest."""
    import pandas

    frames = []
    for number in numbers:
        chunk = manifest.chunks[number]
        if chunk.staged_as.row_group < 0:
            continue
        table = read_chunk(folder, chunk.segment, chunk.staged_as.row_group)
        columns = {name: table[name].to_pandas().astype("str") for name in _TEXTS}
        ids = [format_id(event_id) for event_id in table["event_id"].to_pylist()]
        frame = pandas.DataFrame(columns)
        frame["event_id"] = pandas.Series(ids, dtype="str")
        frame["created_at"] = table["created_at"].to_pandas()
        frame["part"] = pandas.Series([chunk.part] * len(frame), dtype="str")
        frame["line"] = table["line"].to_numpy() + chunk.line_base
        frames.append(frame)
    return pandas.concat(frames, ignore_index=True) if frames else pandas.DataFrame()


def export_frame(totals: Totals) -> "pandas.DataFrame":
    """One row of facts about the export as a whole."""
    import pandas

    lines, staged = max(totals.lines, 1), max(totals.staged, 1)
    accounted = totals.staged + totals.rejected + totals.skipped + totals.out_of_window
    facts = {
        "lines": totals.lines,
        "staged": totals.staged,
        "rejected": totals.rejected,
        "skipped": totals.skipped,
        "out_of_window": totals.out_of_window,
        "duplicate": totals.duplicate,
        "conflict": totals.conflict,
        "damaged_parts": totals.damaged_parts,
        "reject_share": totals.rejected / lines,
        "duplicate_share": totals.duplicate / staged,
        "unaccounted": totals.lines - accounted,
        "first_at": pandas.Timestamp(totals.first_at) if totals.first_at else pandas.NaT,
        "last_at": pandas.Timestamp(totals.last_at) if totals.last_at else pandas.NaT,
    }
    frame = pandas.DataFrame([facts])
    for name in ("first_at", "last_at"):
        frame[name] = pandas.to_datetime(frame[name], utc=True)
    return frame


def rollups_frame(proofs: list[RollupProof]) -> "pandas.DataFrame":
    """One row a rollup."""
    import pandas

    names = ("rollup", "buckets", "rows", "differing", "missing")
    return pandas.DataFrame([{name: getattr(proof, name) for name in names} for proof in proofs], columns=list(names))
