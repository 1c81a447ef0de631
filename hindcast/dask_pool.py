"""Workers on other hosts: the calls of `WorkerPool`, answered by a Dask cluster instead of this machine's processes.

Calls carry references, no rows: paths below HINDCAST_HOME, which every host mounts at the same place, chunk numbers,
the target's address. A worker that dies loses nothing: Dask gives its call to another, and a call may be done twice.
"""

import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from hindcast.dask_terms import Terms, WorkerDiffers, find_fault, find_fault_once, make_terms
from hindcast.errors import ConfigurationError, WorkerDied
from hindcast.pool import WorkersStopped, call_here
from hindcast.settings import Settings

_STOPPED: Final = "the connection to the Dask cluster is closed: run again to go on"
_WAIT_SECONDS: Final = 30
_LOOK_SECONDS: Final = 0.05
_log = logging.getLogger(__name__)


class DaskPool:
    """The workers of a Dask cluster: that of `HINDCAST_DASK_ADDRESS`, or a temporary one on this machine.

    Use as a context manager; threads may share it. Raises ConfigurationError when there is no cluster, and when its
    workers are of another version, have another secret, or do not see the folder of staged chunks.
    """

    def __init__(self, settings: Settings) -> None:
        try:
            import distributed
        except ImportError:
            raise ConfigurationError(
                "HINDCAST_DASK_ADDRESS and HINDCAST_DASK_WORKERS need Dask: pip install 'hindcast[dask]'"
            ) from None
        self._dask: Any = distributed
        self._is_closed = False
        self._mark = uuid.uuid4().hex  # of this pool's calls
        self._running: set[Any] = set()
        self._is_cut_short = False  # calls were cancelled, and some of them may be under way
        self._refused: set[str] = set()
        self._lock = threading.Lock()
        self._cluster: Any = None
        self._probe = settings.staging_dir.absolute() / f".seen-by-dask-{uuid.uuid4().hex}"
        if not settings.dask_address:
            self._cluster = self._dask.LocalCluster(
                n_workers=settings.dask_workers,
                threads_per_worker=1,
                dashboard_address=None,
                host="127.0.0.1",
                memory_limit=0,
            )
        try:
            self._client = self._connect(settings)
            self._probe.parent.mkdir(parents=True, exist_ok=True)
            self._probe.touch()
            self._terms = make_terms(settings, self._probe)
            self._check_workers(self._terms)
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> "DaskPool":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def is_stopped(self) -> bool:
        """Whether every call would raise WorkersStopped."""
        return self._is_closed

    @property
    def threads(self) -> int:
        """How many calls the cluster's workers do at once, now."""
        return sum(self._client.nthreads().values())

    def stop(self) -> None:
        """Hand out nothing more, and wait for the calls under way: nobody can end those. Safe to call twice."""
        with self._lock:
            was_closed, self._is_closed = self._is_closed, True
        if was_closed:
            return
        client = getattr(self, "_client", None)
        if client is not None:
            with contextlib.suppress(OSError, self._dask.comm.CommClosedError):  # the scheduler is gone
                self._cancel(self._running)
                self._wait_for_calls()
            client.close()
        if self._cluster is not None:
            self._cluster.close()
        self._probe.unlink(missing_ok=True)

    def call(self, function: str, *arguments: object) -> Any:
        """Run `package.module:function` on some worker and return its result; raises what it raised."""
        while True:
            try:
                return self._result(self._submit(function, arguments))
            except WorkerDiffers as error:
                self._refuse(error)

    def map_unordered(self, function: str, calls: Iterable[tuple[object, ...]]) -> Iterator[Any]:
        """Run many calls on all workers; results come as they are ready. After an error none is begun."""
        waiting = iter(calls)
        ready = self._dask.as_completed(loop=self._client.loop)
        handed_out: dict[Any, tuple[object, ...]] = {}

        def hand_out(arguments: tuple[object, ...] | None) -> None:
            if arguments is not None:
                future = self._submit(function, arguments)
                handed_out[future] = arguments
                ready.add(future)

        try:
            for _ in range(max(2 * self.threads, 2)):  # a worker that is done finds the next call there
                hand_out(next(waiting, None))
            for future in ready:
                arguments = handed_out.pop(future)
                try:
                    result = self._result(future)
                except WorkerDiffers as error:
                    self._refuse(error)
                    hand_out(arguments)
                    continue
                hand_out(next(waiting, None))
                yield result
        finally:
            self._cancel(handed_out)

    def require_export(self, folder: Path) -> None:
        """Raise ConfigurationError, with the path and what to do, when a worker does not see the plan's export."""
        terms = replace(self._terms, folder=str(folder))
        self._check_workers(terms)
        self._terms = terms

    def _check_workers(self, terms: Terms) -> None:
        found: dict[str, str | BaseException | None] = self._client.run(find_fault, terms, on_error="return")
        for worker, fault in sorted(found.items()):
            if isinstance(fault, OSError):  # it went away meanwhile
                continue
            if isinstance(fault, BaseException):
                raise ConfigurationError(f"Dask worker {worker}: cannot run Hindcast {terms.version}: {fault!r:.200}")
            if fault:
                raise ConfigurationError(f"Dask worker {worker}: {fault}")

    def _connect(self, settings: Settings) -> Any:
        address = settings.dask_address or self._cluster.scheduler_address
        try:
            client = self._dask.Client(address, timeout=_WAIT_SECONDS, set_as_default=False)
            client.wait_for_workers(1, timeout=_WAIT_SECONDS)
        except OSError as error:  # a time-out is one
            raise ConfigurationError(
                f"HINDCAST_DASK_ADDRESS {address}: no scheduler with workers answers ({error or 'timed out'}); "
                "start them: dask scheduler, and dask worker on each host"
            ) from None
        return client

    def _refuse(self, error: WorkerDiffers) -> None:
        """Have a worker that came later leave the cluster; raises the error when no other is left."""
        with self._lock:
            if error.worker not in self._refused:
                self._refused.add(error.worker)
                _log.warning("%s; it is sent away, and its calls go to others", error)
        self._client.retire_workers([error.worker])
        if not set(self._client.nthreads()) - self._refused:
            raise error

    def _cancel(self, futures: Iterable[Any]) -> None:
        """What has not begun never will; what is under way goes on, and nobody hears of it."""
        with self._lock:
            gone = [future for future in futures if future in self._running]
            self._running.difference_update(gone)
            self._is_cut_short |= bool(gone)
        if gone:
            self._client.cancel(gone)

    def _wait_for_calls(self) -> None:
        """Return when no worker does a call of ours, or after a while."""
        until = time.monotonic() + _WAIT_SECONDS
        quiet = 0
        while self._is_cut_short and quiet < 2 and time.monotonic() < until:  # twice: what was sent may be on its way
            found = self._client.run(is_at_work, self._mark, on_error="ignore")
            quiet = 0 if any(found.values()) else quiet + 1
            time.sleep(_LOOK_SECONDS)

    def _submit(self, function: str, arguments: tuple[object, ...]) -> Any:
        with self._lock:
            if self._is_closed:
                raise WorkersStopped(_STOPPED)
            # The key is shown on Dask's pages: the arguments, which hold the target's password, are not in it.
            key = f"{function.partition(':')[2]}-{self._mark}-{uuid.uuid4().hex}"
            future = self._client.submit(run_call, self._terms, function, arguments, key=key, pure=False)
            self._running.add(future)
            return future

    def _result(self, future: Any) -> Any:
        try:
            return future.result()
        except self._dask.KilledWorker as error:
            raise WorkerDied(
                f"Dask's workers ended again and again during a call: {error}; run again to go on"
            ) from None
        except (self._dask.CancelledError, self._dask.comm.CommClosedError) as error:
            if self._is_closed:
                raise WorkersStopped(_STOPPED) from error
            raise WorkerDied("the Dask cluster went away during a call; run again to go on") from error
        finally:
            if not future.done():  # interrupted while waiting
                self._cancel([future])
            with self._lock:
                self._running.discard(future)


def run_call(terms: Terms, function: str, arguments: tuple[object, ...]) -> Any:
    """Do a call; runs in a worker of Dask. Raises WorkerDiffers, having done nothing, when the terms are not met."""
    fault = find_fault_once(terms)
    if fault:
        from distributed import get_worker

        raise WorkerDiffers(get_worker().address, fault)
    return call_here(function, *arguments)


def is_at_work(mark: str, dask_worker: Any) -> bool:
    """Whether the worker does a call whose key holds the mark; runs in a worker of Dask."""
    return any(mark in str(task.key) for task in dask_worker.state.all_running_tasks)
