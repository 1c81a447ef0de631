"""However a chunk is proved, it says the same: all torture cases, loaded once and looked at in every way."""

from dataclasses import replace
from pathlib import Path

import pytest
from loading import Import, begin
from torture_cases import all_cases

from hindcast.chunk_proof import ChunkProof
from hindcast.database import connect
from hindcast.kernel import is_compiled
from hindcast.load import Loaded, load_and_prove
from hindcast.row_sums import HeldSums, plan_own, sum_span
from hindcast.settings import load_settings
from hindcast.verify import verify_chunks
from hindcast.written import prove_written

pytest_plugins = ["loading_fixtures"]
pytestmark = pytest.mark.skipif(not is_compiled, reason="the kernel is not compiled")

SEED = 2**61 + 7


def test_sums_what_was_written_and_what_was_found_prove_what_comparing_the_rows_proves(
    target: str, tmp_path: Path
) -> None:
    file = tmp_path / "torture.jsonl"
    file.write_bytes(b"\n".join(raw for raw, _ in all_cases()) + b"\n")
    begun = begin(target, file, chunk=5)
    loaded = load_and_prove(replace(begun.task(), sum_seed=SEED))
    compared = verify_chunks(replace(begun.task(), held=HeldSums()))

    held = sums_of(begun)
    assert len(held.chunks) > 10 and verify_chunks(replace(begun.task(), held=held)) == compared
    written = prove_as_written(begun, loaded, held)
    assert len(written) > 10 and all(proof == compared[proof.chunk] for proof in written)

    again = begin(target, file, is_new_run=True, chunk=10)
    found = [chunk.proof for chunk in load_and_prove(again.task()) if chunk.proof]
    compared = verify_chunks(again.task())
    assert len(found) > 5 and all(replace(proof, is_unwritten=False) == compared[proof.chunk] for proof in found)


def sums_of(begun: Import) -> HeldSums:
    """What the server sums of all chunks of a run."""
    with connect(begun.url, load_settings()) as connection:
        plan = plan_own(connection, begun.run.run_id, range(len(begun.manifest.chunks)))
        plan = replace(plan, seed=SEED)
        return plan.put_together(sum_span(connection, plan, span) for span in plan.spans)


def prove_as_written(begun: Import, loaded: list[Loaded], held: HeldSums) -> list[ChunkProof]:
    written = {chunk.written.chunk: chunk.written for chunk in loaded if chunk.written}
    with connect(begun.url, load_settings()) as connection:
        return list(prove_written(connection, begun.run.run_id, written, held))
