"""The one retry policy: what is tried again, how often, how long after."""

from typing import Any, Final

from hindcast.errors import TransientError, WorkerDied
from hindcast.pool import WorkersStopped

# A restart of PostgreSQL takes seconds, a failover about a minute; chunks that are in are not loaded again.
RETRY_DELAYS_SECONDS: Final = [1, 5, 15, 30]
RETRY_JITTER: Final = 0.5


def is_worth_retrying(task: Any, task_run: Any, state: Any) -> bool:
    """True for faults of the moment: a lost connection, a deadlock, a killed worker; not for workers we stopped."""
    return isinstance(state.data, TransientError | WorkerDied) and not isinstance(state.data, WorkersStopped)


TRANSIENT: Final[dict[str, Any]] = {
    "retries": len(RETRY_DELAYS_SECONDS),
    "retry_delay_seconds": RETRY_DELAYS_SECONDS,
    "retry_jitter_factor": RETRY_JITTER,
    "retry_condition_fn": is_worth_retrying,
}
