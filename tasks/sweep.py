"""Sweep: take away the objects that killed imports and endpoints left without an event."""

from datetime import timedelta

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from hindcast.database import connect, require_schema
from hindcast.objects.ledger import Sweep, has_pending, sweep
from hindcast.objects.store import open_store
from hindcast.settings import Settings
from tasks.policy import TRANSIENT


@task(name="sweep objects", task_run_name="sweep objects", cache_policy=NO_CACHE, **TRANSIENT)
def sweep_objects(grace_minutes: float, url: str, settings: Settings) -> Sweep:
    """Remove what is pending for longer than the grace; says how much it was."""
    grace = timedelta(minutes=grace_minutes)
    with connect(url, settings) as connection:
        require_schema(connection)
        swept = sweep(connection, open_store(settings), grace) if has_pending(connection, grace) else Sweep()
    get_run_logger().info(
        "removed %d objects of %d bytes, left %d of others", swept.pending, swept.size_bytes, swept.foreign
    )
    return swept
