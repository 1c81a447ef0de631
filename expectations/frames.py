"""Frames for the gates: staged events, and the facts of an export as one row."""

from typing import TYPE_CHECKING

from hindcast.manifest import Totals
from hindcast.rollups import RollupProof
from hindcast.staging import SCHEMA

if TYPE_CHECKING:
    import pandas

_TEXTS = tuple(name for name, kind in zip(SCHEMA.names, SCHEMA.types, strict=True) if kind == "string")


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
