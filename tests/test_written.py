"""Chunks that a load wrote whole are proved by the table's sums alone: it says what comparing the rows would."""

from dataclasses import replace
from pathlib import Path

import pytest
from loading import Import, begin, load, make_event, query, write_export

from hindcast.chunk_proof import ChunkProof
from hindcast.database import connect
from hindcast.kernel import is_compiled
from hindcast.load import load_and_prove
from hindcast.row_sums import plan_own, sum_span
from hindcast.settings import load_settings
from hindcast.verify import verify_chunks
from hindcast.written import WrittenRows, prove_written

pytest_plugins = ["loading_fixtures"]
pytestmark = pytest.mark.skipif(not is_compiled, reason="the kernel is not compiled")

SEED = 2**61 + 7


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return write_export(tmp_path / "export.jsonl", (make_event(number) for number in range(100)))


def write(begun: Import, seed: int | None = SEED) -> dict[int, WrittenRows]:
    """Load a run; what it says it wrote, by the chunks' numbers."""
    loaded = load_and_prove(replace(begun.task(), sum_seed=seed))
    return {chunk.written.chunk: chunk.written for chunk in loaded if chunk.written}


def prove(begun: Import, written: dict[int, WrittenRows], seed: int = SEED) -> dict[int, ChunkProof]:
    with connect(begun.url, load_settings()) as connection:
        plan = replace(plan_own(connection, begun.run.run_id, [*written]), seed=seed)
        held = plan.put_together(sum_span(connection, plan, span) for span in plan.spans)
        return {proof.chunk: proof for proof in prove_written(connection, begun.run.run_id, written, held)}


def test_the_proof_is_that_of_comparing_the_rows(target: str, export: Path) -> None:
    begun = begin(target, export, chunk=10)
    proofs = prove(begun, write(begun))
    assert [*proofs.values()] == verify_chunks(begun.task()) and len(proofs) == 10


def test_a_row_edited_deleted_or_added_since_leaves_its_chunk_to_be_compared(target: str, export: Path) -> None:
    begun = begin(target, export, chunk=10)
    written = write(begun)
    query(target, "UPDATE analytics_events SET payload = '{\"number\": 14}' WHERE export_line = 16 RETURNING 1")
    query(target, "DELETE FROM analytics_events WHERE export_line = 35 RETURNING 1")
    query(
        target,
        "INSERT INTO analytics_events (event_id, created_at, source, event_type, import_chunk_id)"
        " SELECT gen_random_uuid(), created_at, source, event_type, import_chunk_id FROM analytics_events"
        " WHERE export_line = 55 RETURNING 1",
    )
    assert [*prove(begun, written)] == [0, 2, 4, 6, 7, 8, 9]


def test_a_chunk_whose_digest_the_ledger_has_differently_is_compared(target: str, export: Path) -> None:
    begun = begin(target, export, chunk=10)
    written = write(begun)
    query(target, "UPDATE import_chunks SET digest = 'x' WHERE chunk_number = 3 RETURNING 1")
    assert 3 not in prove(begun, written)


def test_sums_of_another_seed_prove_nothing(target: str, export: Path) -> None:
    begun = begin(target, export, chunk=10)
    assert not prove(begun, write(begun), seed=SEED + 1)


def test_a_chunk_with_rows_that_were_there_is_not_said_to_be_written(target: str, export: Path) -> None:
    load(target, export)
    query(target, "DELETE FROM analytics_events WHERE export_line IN (11, 12) RETURNING 1")
    assert not write(begin(target, export, is_new_run=True, chunk=10))


def test_a_chunk_that_the_ledger_has_is_not_said_to_be_written_again(target: str, export: Path) -> None:
    begun = begin(target, export, chunk=10)
    assert len(write(begun)) == 10 and not write(begun)


def test_where_rows_may_be_replaced_or_no_seed_is_given_nothing_is_summed(target: str, export: Path) -> None:
    assert not write(begin(target, export, chunk=10), seed=None)
    assert not write(begin(target, export, is_new_run=True, chunk=10, on_conflict="replace"))
