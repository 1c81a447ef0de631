"""Inbox: what waits there by the ledger's word, and what a night made of it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from hindcast.database import connect, require_schema
from hindcast.errors import ExportError
from hindcast.export import find_parts
from hindcast.inbox import list_deliveries, state_of
from hindcast.settings import Settings
from tasks.policy import TRANSIENT


@dataclass(frozen=True)
class Queued:
    """An export in the inbox. `state` is what the ledger says of it, or why it is left alone."""

    name: str
    location: str
    state: str


@task(name="queue exports", task_run_name="look into {inbox}", cache_policy=NO_CACHE, **TRANSIENT)
def queue_exports(inbox: str, tenant: str, url: str, settings: Settings) -> list[Queued]:
    """Look at every export in the inbox and ask the ledger what became of it; in order of their names."""
    queue = []
    with connect(url, settings) as connection:
        require_schema(connection)
        for delivery in list_deliveries(inbox):
            state = "still being written"
            if delivery.is_quiet(datetime.now(UTC)):
                try:
                    state = state_of(connection, find_parts(delivery.location), tenant)
                except ExportError:
                    state = "new"  # its import says what is wrong with it
            queue.append(Queued(delivery.name, delivery.location, state))
    return queue


@task(name="show night", task_run_name="what became of the inbox", cache_policy=NO_CACHE)
def show_night(rows: list[dict[str, Any]]) -> None:
    """Publish what became of each export as a table."""
    description = "What became of each export in the inbox. *waits*: the window closed before its turn."
    create_table_artifact(table=rows, key="nightly", description=description)
