"""Chunks that loading finds wholly in the table are proved by that comparison: it says what verifying would."""

from dataclasses import replace
from pathlib import Path

import pytest
from loading import Import, begin, load, make_event, query, write_export

from hindcast.chunk_proof import ChunkProof
from hindcast.load import load_and_prove
from hindcast.verify import sum_proofs, verify_chunks

pytest_plugins = ["loading_fixtures"]


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return write_export(tmp_path / "export.jsonl", (make_event(number) for number in range(100)))


def import_again(url: str, file: Path) -> tuple[Import, list[ChunkProof | None]]:
    begun = begin(url, file, is_new_run=True, chunk=10)
    return begun, [loaded.proof for loaded in load_and_prove(begun.task())]


def test_what_is_written_is_not_proved_by_loading(target: str, export: Path) -> None:
    assert {loaded.proof for loaded in load_and_prove(begin(target, export, chunk=10).task())} == {None}


def test_the_proof_is_that_of_verifying(target: str, export: Path) -> None:
    load(target, export)
    begun, proofs = import_again(target, export)
    found = [replace(proof, is_unwritten=False) for proof in proofs if proof]
    assert len(found) == 10 and found == verify_chunks(begun.task())
    verification = sum_proofs(begun.manifest, [proof for proof in proofs if proof])
    assert verification.status == "passed"
    content = next(check["detail"] for check in verification.checks if check["name"] == "content")
    assert "10 of 10 chunks looked at, 10 of them while loading, which found every row there and wrote none" in content


def test_a_chunk_of_which_one_row_is_new_or_differs_is_left_to_verifying(target: str, export: Path) -> None:
    load(target, export)
    query(target, "DELETE FROM analytics_events WHERE export_line = 15 RETURNING 1")
    query(target, "UPDATE analytics_events SET payload = '{}' WHERE export_line = 35 RETURNING 1")
    begun, proofs = import_again(target, export)
    assert [number for number, proof in enumerate(proofs) if proof is None] == [1, 3]
    assert begun.counts().loaded == 1 and begun.counts().conflict == 1


def test_where_rows_may_be_replaced_verifying_looks_at_the_end(target: str, export: Path) -> None:
    load(target, export)
    begun = begin(target, export, is_new_run=True, chunk=10, on_conflict="replace")
    assert {loaded.proof for loaded in load_and_prove(begun.task())} == {None}
    assert begun.verify().status == "passed"


def test_a_chunk_that_the_ledger_has_is_not_proved_again_by_loading(target: str, export: Path) -> None:
    load(target, export)
    begun, proofs = import_again(target, export)
    assert all(proofs)
    assert {loaded.proof for loaded in load_and_prove(begun.task())} == {None}
