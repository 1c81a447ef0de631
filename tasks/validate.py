"""Validate: the gates. Before the load on staged events and on the export as a whole; after it on the run's rows."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run

from expectations.frames import export_frame, rollups_frame
from expectations.gate import GateResult, TargetView, run_frame_gate, run_table_gate
from expectations.kept import run_staged_gate
from hindcast.ledger import Run
from hindcast.manifest import Chunk, Totals
from hindcast.memory import give_back
from hindcast.plan import Plan
from hindcast.report import describe_gate, tabulate_gate
from hindcast.rollups import RollupProof
from hindcast.settings import Settings
from hindcast.times import EPOCH
from tasks.policy import TRANSIENT


def _name_gate() -> str:
    chunks = task_run.parameters["chunks"]
    return f"gate chunks {chunks[0].number}-{chunks[-1].number}"


@task(name="gate events", task_run_name=_name_gate, cache_policy=NO_CACHE)
def gate_events(plan: Plan, folder: Path, chunks: Sequence[Chunk], settings: Settings) -> GateResult | None:
    """Run the format's suite on the staged events of some chunks; None when they hold none.

    What an earlier run's gate said of the very same ones stays said.
    """
    result = run_staged_gate(plan.format, folder, chunks, _bounds(plan), settings.expectations_dir)
    give_back()  # GX's cycles keep frames of a batch, and each further batch would take its room beside them
    return result


@task(name="gate export", task_run_name="gate export {plan.dataset}", cache_policy=NO_CACHE)
def gate_export(plan: Plan, totals: Totals, is_strict: bool, settings: Settings) -> GateResult:
    """Run the suite on the export as a whole."""
    limit = 0.0 if is_strict else settings.reject_share_limit
    parameters = {"reject_share_limit": limit, "latest": plan.latest}
    return run_frame_gate("export", export_frame(totals), parameters, settings.expectations_dir)


@task(name="gate loaded rows", task_run_name="gate loaded {run.dataset}", cache_policy=NO_CACHE, **TRANSIENT)
def gate_loaded(run: Run, plan: Plan, url: str, loaded: int, settings: Settings) -> GateResult:
    """Run the suite on the run's rows in the table, through a view, on a read-only session."""
    view = TargetView(url, "hindcast_run_events", {"hindcast.run_id": str(run.run_id)})
    return run_table_gate("loaded", view, _bounds(plan) | {"loaded_rows": loaded}, settings.expectations_dir)


@task(name="gate rollups", task_run_name="gate rollups {run_id}", cache_policy=NO_CACHE)
def gate_rollups(run_id: UUID, proofs: Sequence[RollupProof], settings: Settings) -> GateResult:
    """Run the suite on the rollups' proofs."""
    return run_frame_gate("rollups", rollups_frame(list(proofs)), {}, settings.expectations_dir)


def show_gate(result: GateResult) -> dict[str, Any]:
    """Publish a gate as an artifact and return it as plain values."""
    plain = asdict(result)
    key = f"gate-{result.suite.replace('_', '-')}"
    create_table_artifact(key=key, table=tabulate_gate(plain), description=describe_gate(plain))
    return plain


def _bounds(plan: Plan) -> dict[str, object]:
    return {"window_start": plan.start or EPOCH, "window_end": plan.end or plan.latest}
