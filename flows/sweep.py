"""Sweep: remove large values whose event was never committed, as a killed import or endpoint leaves them.

Requires the target and the object store. Promises: what has an event stays, and so does what somebody else put.
"""

from dataclasses import asdict
from typing import Annotated, Any

from prefect import flow
from pydantic import Field

from hindcast.database import target_url
from hindcast.settings import load_settings
from tasks.sweep import sweep_objects

Minutes = Annotated[float, Field(ge=0, title="Grace", description="Minutes; what is younger may be under way.")]


@flow(name="sweep", flow_run_name="sweep objects", persist_result=True)
def sweep(grace_minutes: Minutes = 60) -> dict[str, Any]:
    """Remove objects that were claimed and never committed. Opens no store when there is nothing to remove.

    Args:
        grace_minutes: Minutes. What is younger is left: it may be under way.
    """
    settings = load_settings()
    return asdict(sweep_objects(grace_minutes, target_url(settings), settings))
