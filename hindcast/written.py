"""What a load wrote of a chunk, summed while its rows were at hand: to prove them, only the table is asked again.

The sum is made of the staged rows, before anything is known of the table; the other side is the table as it is when
verifying asks. Whatever does not agree says nothing, and the chunk is read from staging and compared row by row.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from uuid import UUID

import psycopg

from hindcast.chunk_proof import ChunkProof
from hindcast.kernel import _kernel, has_kernel
from hindcast.kernel_rows import to_buffers
from hindcast.row_sums import HeldSum, HeldSums
from hindcast.staged_rows import StagedRows
from hindcast.staging import count_months


@dataclass(frozen=True)
class WrittenRows:
    """Rows of a chunk as staged, all of which its load wrote: how many, and the sum of their hashes modulo 2^64.

    `chunk` is its number in the export, `months` counts them by month and event type.
    """

    chunk: int
    rows: int
    total: int
    digest: str
    months: tuple[tuple[str, str, int], ...]


def sum_written(chunk: int, staged: StagedRows, seed: int | None) -> WrittenRows | None:
    """Sum the hashes of rows just written; None where that cannot be had."""
    total = _kernel.sum(to_buffers(staged), seed) if seed is not None and len(staged) and has_kernel() else None
    if total is None:
        return None
    months = tuple((*key, count) for key, count in sorted(count_months(staged.table).items()))
    return WrittenRows(chunk, len(staged), total, staged.digest, months)


def prove_written(
    connection: psycopg.Connection, run_id: UUID, written: Mapping[int, WrittenRows], held: HeldSums
) -> Iterator[ChunkProof]:
    """Proofs of the chunks of which table and ledger have what was written, in order; of others nothing."""
    ledger = connection.execute(
        "SELECT chunk_number, chunk_id, digest, loaded FROM import_chunks WHERE run_id = %s AND derived = 0"
        " ORDER BY chunk_number",
        (run_id,),
    )
    for number, chunk_id, digest, loaded in ledger:
        rows = written.get(number)
        if not rows or (loaded, digest) != (rows.rows, rows.digest):
            continue
        if held.chunks.get(number) == HeldSum(chunk_id, rows.rows, rows.total):
            months = [(month, kind, count, count) for month, kind, count in rows.months]
            yield ChunkProof(number, expected=rows.rows, matching=rows.rows, months=months)
