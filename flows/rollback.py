"""Rollback: take the rows of a run or of a window out of the target, archived first.

Requires the target, and a place for archives (`HINDCAST_ARCHIVE`). Promises: a preview changes nothing; a row goes only
after the archive that holds it was read again and is what it was; killed at any moment, the same rollback goes on.
"""

from typing import Any, Literal

from prefect import flow
from prefect.runtime import deployment
from prefect.task_runners import ThreadPoolTaskRunner

from flows import undo
from flows.naming import name_rollback
from flows.parameters import ExactText, Initials, OptionalRunId, WindowText
from hindcast.selection import Selection, check_selection
from hindcast.undo_report import has_nothing_to_do, nothing_selected


@flow(
    name="rollback",
    flow_run_name=name_rollback,
    task_runner=ThreadPoolTaskRunner(max_workers=2),  # type: ignore[arg-type]  # a runner of futures, typed too narrow
)
def rollback(
    run: OptionalRunId = "",
    window: WindowText = "",
    source: ExactText = "",
    event_type: ExactText = "",
    tenant: ExactText | None = None,
    include_live: bool = False,
    allow_overlap: bool = False,
    mode: Literal["preview", "apply"] = "preview",
    confirm: Literal["ask", "given"] = "ask",
    operator: Initials = "",
) -> dict[str, Any]:
    """Take a run's or a window's rows out of the target; by default only say what that would do.

    Args:
        run: The run's id, or its beginning (see the ledger, or hindcast runs).
        window: START..END in UTC, end not included; alone, or to narrow a run.
        source: Only rows of this source, such as analytics_history.
        event_type: Only rows of this event type.
        tenant: Only rows of this tenant; the empty text is a tenant, too.
        include_live: Also rows that the live platform wrote; only with a window.
        allow_overlap: Go on although later runs are concerned; the preview names them.
        mode: preview says what would go and changes nothing; apply archives and deletes.
        confirm: For the command line only; a run of a deployment always pauses for a person's confirmation.
        operator: Initials of whoever runs this.
    """
    span = check_selection(run or None, window or None, include_live)
    selection = Selection(None, span, source or None, event_type or None, tenant, include_live)
    job = undo.begin_undo(operator or None)
    seen = undo.preview(job, run or None, selection)
    if mode == "preview":
        return seen.as_json()
    if has_nothing_to_do(seen):
        undo.give_back_space(job)
        return nothing_selected(seen)
    undo.require_no_overlap(seen, allow_overlap)
    if confirm == "ask" or deployment.id:
        undo.ask(job, seen)
    with undo.hold_undo(job):
        archive, description = undo.archive(job, seen)
        undo.delete(job, archive, description)
        proofs = undo.rollup(job, description)
        report = undo.prove_absence(job, archive, description, proofs, seen)
        undo.give_back_space(job)
        return report
