"""Restore: put back what a rollback took out, row for row.

Requires the target and the archive. Promises: rows come back exactly as they were, owner included; what is there
already stays as it is; restoring twice changes nothing; killed at any moment, running it again ends the same.
"""

from typing import Any

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from flows import undo
from flows.naming import name_restore


@flow(
    name="restore",
    flow_run_name=name_restore,
    task_runner=ThreadPoolTaskRunner(max_workers=2),  # type: ignore[arg-type]  # a runner of futures, typed too narrow
)
def restore(archive: str, operator: str | None = None) -> dict[str, Any]:
    """Put the rows of an archive back, rebuild their rollups, and prove both.

    Args:
        archive: The archive's id, or its beginning (see hindcast archives), or its folder or s3:// prefix.
        operator: Initials of whoever runs this.
    """
    job = undo.begin_undo(operator)
    with undo.hold_undo(job):
        found, description = undo.find(job, archive)
        restored = undo.restore_all(job, found, description)
        proofs = undo.rollup(job, description)
        return undo.prove_presence(job, found, description, restored, proofs)
