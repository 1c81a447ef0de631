"""Frames for the gates: staged events, and the facts of an export as one row."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from hindcast.copying import format_ids
from hindcast.manifest import Manifest, Totals
from hindcast.rollups import RollupProof
from hindcast.staging import SCHEMA, read_chunk

if TYPE_CHECKING:
    import pandas

_TEXTS = tuple(name for name, kind in zip(SCHEMA.names, SCHEMA.types, strict=True) if kind == "string")


def staged_frame(
    folder: Path, manifest: Manifest, numbers: tuple[int, ...], columns: Collection[str] | None = None
) -> "pandas.DataFrame":
    """The staged events of some chunks, with part and line; of `columns` those there are, all when it is None.

    Texts are `str`, which GX reads fastest.
    """
    import numpy
    import pandas
    import pyarrow as pa

    names = [name for name in (*_TEXTS, "created_at", "event_id") if columns is None or name in columns]
    tables = []
    for number in numbers:
        chunk = manifest.chunks[number]
        if chunk.staged_as.row_group < 0:
            continue
        table = read_chunk(folder, chunk.segment, chunk.staged_as.row_group, [*names, "line"])
        kept = {name: format_ids(table[name]) if name == "event_id" else table[name] for name in names}
        kept["part"] = pa.repeat(pa.scalar(chunk.part), len(table))
        kept["line"] = pa.array(table["line"].to_numpy() + chunk.line_base)
        tables.append(pa.table(kept))
    # Arrow's texts are pandas' texts without a copy; `ArrowDtype` would be nine times slower in GX.
    texts = {pa.string(): pandas.StringDtype(na_value=numpy.nan)}
    return pa.concat_tables(tables).to_pandas(types_mapper=texts.get) if tables else pandas.DataFrame()


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
