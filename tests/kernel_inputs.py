"""Records read by the kernel (with Python for what it leaves) and by Python alone."""

from datetime import UTC, datetime
from typing import Any

from hindcast.event import Event
from hindcast.event_columns import EventColumns
from hindcast.formats import analytics_history, decode_batch
from hindcast.formats.base import Context
from hindcast.kernel_columns import KernelColumns, PlainRules
from hindcast.records import Batch
from hindcast.window import Window

FORMAT = analytics_history.NAME
LATEST = datetime(2030, 1, 1, tzinfo=UTC)


def make_context() -> Context:
    return Context(latest=LATEST, tenant="acme", options={"scrub_pii": True})


def make_columns(window: Window = Window()) -> KernelColumns:  # noqa: B008  # never changed
    return KernelColumns(FORMAT, PlainRules(make_context(), analytics_history.PLAIN, window))


def fill(columns: KernelColumns | EventColumns, raws: list[bytes], window: Window = Window()) -> Any:  # noqa: B008
    """Rows of the staging schema as these columns make them; Python reads what the kernel leaves."""
    batch = Batch(range(1, len(raws) + 1), [7 * n for n in range(len(raws))], raws)
    left = columns.read(batch) if isinstance(columns, KernelColumns) else batch
    columns.extend(*decode(left, make_context(), window))
    return columns.to_table().to_pylist()


def read_both(raws: list[bytes], window: Window = Window()) -> tuple[Any, Any]:  # noqa: B008  # never changed
    """Rows as the kernel (with Python for what it leaves) and as Python alone make them."""
    return fill(make_columns(window), raws, window), fill(EventColumns(FORMAT), raws, window)


def decode(batch: Batch, context: Context, window: Window) -> tuple[list[Event], list[int], list[int]]:
    outcomes = decode_batch(analytics_history, batch.raws, context)
    found = [
        (outcome, number, offset)
        for outcome, number, offset in zip(outcomes, batch.numbers, batch.offsets, strict=True)
        if isinstance(outcome, Event) and window.contains(outcome.occurred_at)
    ]
    return [e for e, _, _ in found], [n for _, n, _ in found], [o for _, _, o in found]
