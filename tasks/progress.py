"""Showing how far a step has come: a Prefect progress artifact, and whoever listens in this process."""

import time
from collections.abc import Iterable, Iterator
from typing import Any, Final
from uuid import UUID

import httpx
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.exceptions import PrefectException
from prefect.futures import PrefectFuture, PrefectWrappedFuture, as_completed
from prefect.logging import get_logger

from hindcast.progress import tell

# An update is a synchronous call of 10 ms to the server.
SECONDS_BETWEEN_UPDATES: Final = 2.0


def artifact_key(step: str) -> str:
    """The key of a step's progress artifact: Prefect takes lower-case letters, digits and dashes only."""
    return f"{step.replace(' ', '-')}-progress"


class StepProgress:
    """Counts a step's work; never fails the step. `total` and `done` are in `unit`s; `beside` is counted too."""

    def __init__(self, step: str, total: int, unit: str, beside: str = "") -> None:
        self._step, self._total, self._unit, self._beside = step, total, unit, beside
        self._done = self._done_beside = 0
        self._began = self._told = time.monotonic()
        self._artifact: UUID | None = None
        tell(step, 0, total)

    def advance(self, amount: int, beside: int = 0) -> None:
        """Count work done and tell it, at most every two seconds to Prefect; never beyond the total."""
        self._done = min(self._done + amount, self._total)
        self._done_beside += beside
        tell(self._step, self._done, self._total)
        now = time.monotonic()
        if now - self._told >= SECONDS_BETWEEN_UPDATES:
            self._told = now
            self._update(now)

    def finish(self) -> None:
        """Show the step as done, also when less was counted than was expected."""
        self._done = self._total
        tell(self._step, self._total, self._total)
        if self._artifact:
            self._update(time.monotonic())

    def _update(self, now: float) -> None:
        rate = self._done / max(now - self._began, 0.001)
        left = (self._total - self._done) / rate if rate else 0
        beside = f", {self._done_beside:,} {self._beside}" if self._beside else ""
        text = f"{self._done:,} of {self._total:,} {self._unit}{beside}, {rate:,.0f} a second, {left:,.0f} s left"
        share = 100.0 * self._done / max(self._total, 1)
        try:
            if self._artifact is None:
                found = create_progress_artifact(progress=share, key=artifact_key(self._step), description=text)
                self._artifact = found  # type: ignore[assignment]  # sync here; typed as either
            else:
                update_progress_artifact(self._artifact, progress=share, description=text)
        except (PrefectException, httpx.HTTPError, OSError, ValueError) as error:
            get_logger(__name__).debug("progress not shown: %s", error)


def gather(
    futures: Iterable[PrefectFuture[Any]],
    amounts: list[int],
    progress: StepProgress,
    beside: list[int] | None = None,
) -> Iterator[Any]:
    """Yield results as tasks end, advancing by each one's amount (and what is counted beside it).

    Raises the first error of any; tasks that have not begun by then do not begin.
    """
    waiting = list(futures)
    pairs = zip(amounts, beside or [0] * len(amounts), strict=True)
    amounts_of = {future.task_run_id: pair for future, pair in zip(waiting, pairs, strict=True)}
    try:
        for future in as_completed(waiting):
            yield future.result()
            progress.advance(*amounts_of[future.task_run_id])
    except BaseException:
        cancel_waiting(waiting)
        raise
    progress.finish()


def cancel_waiting(futures: Iterable[PrefectFuture[Any]]) -> None:
    """Let tasks that have not begun not begin."""
    for future in futures:
        if isinstance(future, PrefectWrappedFuture):
            future.wrapped_future.cancel()
