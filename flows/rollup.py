"""Rollup: rebuild the derived tables for a window, or for all days, and prove them.

Requires the target. Promises: one transaction a rollup; the same result when repeated.
"""

from typing import Any

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from flows.naming import name_rollup
from flows.parameters import WindowText
from flows.proving import rebuild_window


@flow(
    name="rollup",
    flow_run_name=name_rollup,
    persist_result=True,
    task_runner=ThreadPoolTaskRunner(max_workers=2),  # type: ignore[arg-type]  # a runner of futures, typed too narrow
)
def rollup(window: WindowText = "") -> list[dict[str, Any]]:
    """Rebuild the rollups and prove each equal to a GROUP BY of the raw rows.

    Args:
        window: START..END in UTC, end not included; every day that has rows when empty.
    """
    return rebuild_window(window)
