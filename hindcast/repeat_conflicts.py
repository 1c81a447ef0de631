"""Conflicts within an export: the records that contradict another of it, described field by field, in file order."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from hindcast.conflicts import Conflict, Place, diff_rows, fetch_rows
from hindcast.event import format_id
from hindcast.repeats import Repeats, Run
from hindcast.staged_files import fetch_staged, keep_staged, local_folder

if TYPE_CHECKING:
    from hindcast.manifest import Chunk

NAME: Final = "conflicts.jsonl"
# A worker reads whole chunks for them: enough that it reads each for several, few enough to share the work.
_CONFLICTS_A_CALL: Final = 400
_BEGINS: Final = b'{"chunk":'  # the first field of each line, so that a line is decoded only when its chunk is wanted


def write_conflicts(folder: Path, chunks: Sequence["Chunk"], contradicting: Repeats, run: Run) -> None:
    """Describe each of these repeats in the folder's file, in their order, by calls that workers share."""
    calls = []
    for number, first in enumerate(range(0, len(contradicting), _CONFLICTS_A_CALL)):
        some = contradicting.slice(first, first + _CONFLICTS_A_CALL)
        used = {int(n): chunks[n] for n in {*some.chunk.tolist(), *some.winner_chunk.tolist()}}
        calls.append((number, str(folder), used, some))
    described: dict[int, bytes] = {}
    written = 0
    with (folder / NAME).open("wb") as file:
        for number, lines in run("hindcast.repeat_conflicts:describe_conflicts", calls):
            described[number] = lines
            while written in described:
                file.write(described.pop(written))
                written += 1
    keep_staged(folder / NAME)


def describe_conflicts(number: int, folder: str, chunks: Mapping[int, "Chunk"], repeats: Repeats) -> tuple[int, bytes]:
    """Lines of JSON, one a repeat, in their order, beside `number`; runs in a worker."""
    found = _describe(local_folder(folder), chunks, repeats)
    return number, b"".join(msgspec.json.encode(conflict) + b"\n" for conflict in found)


def read_conflicts(folder: Path, chunks: Collection[int] | None = None) -> Iterator[Conflict]:
    """Conflicts within the export, in file order; only those of some chunks when they are named."""
    decoder = msgspec.json.Decoder(Conflict)
    with fetch_staged(folder / NAME).open("rb") as file:
        for line in file:
            if chunks is None or int(line[len(_BEGINS) : line.index(b",")]) in chunks:
                yield decoder.decode(line)


def _describe(folder: Path, chunks: Mapping[int, "Chunk"], repeats: Repeats) -> Iterator[Conflict]:
    def place(chunk: int, row: int) -> Place:
        return chunks[chunk].segment, chunks[chunk].staged_as.row_group, row

    pairs = [(place(r.winner_chunk, r.winner_row), place(r.chunk, r.row)) for r in repeats]
    rows = fetch_rows(folder, chain.from_iterable(pairs))
    for repeat, (winner_place, other_place) in zip(repeats, pairs, strict=True):
        kept, other = rows[winner_place], rows[other_place]
        chunk, winner = chunks[repeat.chunk], chunks[repeat.winner_chunk]
        yield Conflict(
            chunk=repeat.chunk,
            row=repeat.row,
            event_id=format_id(other["event_id"]),
            part=chunk.part,
            line=chunk.line_base + other["line"],
            fields=diff_rows(kept, other) or {"(object)": ["other bytes", "other bytes"]},
            against=f"{winner.part} line {winner.line_base + kept['line']}",
        )
