"""Worker processes that decode and load. They import neither Prefect nor Great Expectations, nor the caller's script.

`multiprocessing` would re-import the parent's main module (a Prefect engine: seconds and 200 MB a process) or fork a
process full of threads; so a worker is a fresh interpreter that reads calls from a pipe. It ends when its parent does.
"""

import contextlib
import importlib
import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

from hindcast.errors import WorkerDied
from hindcast.importing import do_without, without_collections

_LENGTH: Final = struct.Struct("!Q")


class WorkersStopped(WorkerDied):
    """The workers were stopped on purpose: asking again is of no use in this process."""


class Workers(Protocol):
    """Whoever does calls: processes of this machine, or workers of a cluster."""

    def call(self, function: str, *arguments: object) -> Any:
        """Run `package.module:function` and return its result; raises what it raised."""

    def map_unordered(self, function: str, calls: Iterable[tuple[object, ...]]) -> Iterator[Any]:
        """Run many calls; results come as they are ready. The first error stops the handing out."""

    def require_export(self, folder: Path) -> None:
        """Raise ConfigurationError when somebody does not see the export of the plan in that folder."""

    def stop(self) -> None:
        """Hand out nothing more; afterwards nothing of ours is being done."""


class WorkerPool:
    """A few worker processes; calls go to whichever is free. Use as a context manager; threads may share it."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._free: queue.SimpleQueue[subprocess.Popen[bytes] | None] = queue.SimpleQueue()
        for _ in range(processes):
            self._free.put(None)  # started when first needed
        self._started: list[subprocess.Popen[bytes]] = []
        self._is_closed = False
        self._starting = threading.Lock()

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def is_stopped(self) -> bool:
        """Whether every call would raise WorkersStopped."""
        return self._is_closed

    def require_export(self, folder: Path) -> None:
        """Nothing to look for: the processes of this machine see what we see."""

    def stop(self) -> None:
        """End the workers, also in the middle of a call, which then raises WorkersStopped. Safe to call twice."""
        with self._starting:
            self._is_closed = True
        for worker in self._started:
            worker.kill()  # idle, or its answer is no longer wanted; nothing of it is half done
            worker.wait()
            for pipe in (worker.stdin, worker.stdout):
                if pipe:
                    _close_quietly(pipe)

    def warm_up(self, *modules: str) -> None:
        """Start the workers, and let each import what it will need; returns at once. Safe to call twice."""
        if not self._started:
            for _ in range(self._processes):
                threading.Thread(target=self._import, args=modules, daemon=True).start()

    def _import(self, *modules: str) -> None:
        with contextlib.suppress(WorkerDied):  # whoever needs it will be told
            self.call("hindcast.pool:import_modules", *modules)

    def call(self, function: str, *arguments: object) -> Any:
        """Run `package.module:function` in a free worker and return its result; raises what it raised."""
        worker = self._free.get()
        try:
            if worker is None or worker.poll() is not None:
                worker = self._start()
            return _call(worker, function, arguments)
        except WorkerDied as error:
            if self._is_closed:
                raise WorkersStopped(_STOPPED) from error
            raise
        finally:
            self._free.put(worker)

    def map_unordered(self, function: str, calls: Iterable[tuple[object, ...]]) -> Iterator[Any]:
        """Run many calls on all workers; results come as they are ready. The first error stops the handing out."""
        waiting = iter(calls)
        results: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()
        lock = threading.Lock()
        is_over = threading.Event()

        def run() -> None:
            while True:
                try:
                    with lock:
                        arguments = None if is_over.is_set() else next(waiting, None)
                    if arguments is None:
                        results.put((True, _DONE))
                        return
                    results.put((True, self.call(function, *arguments)))
                except BaseException as error:  # noqa: BLE001  # it is raised again in the caller's thread
                    results.put((False, error))
                    return

        threads = [threading.Thread(target=run, daemon=True) for _ in range(self._processes)]
        for thread in threads:
            thread.start()
        running = len(threads)
        try:
            while running:
                is_result, value = results.get()
                if value is _DONE:
                    running -= 1
                elif is_result:
                    yield value
                else:
                    raise value
        finally:
            is_over.set()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._starting:
            if self._is_closed:
                raise WorkersStopped(_STOPPED)
            return self._start_process()

    def _start_process(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "hindcast.pool"]
        # Arrow and BLAS would each start a thread a core in each worker.
        environment = os.environ | {"OMP_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
        worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        self._started.append(worker)
        return worker


_STOPPED: Final = "the worker processes are stopped: run again to go on"
_shared: list[WorkerPool] = []


@contextmanager
def shared_pool(processes: int) -> Iterator[WorkerPool]:
    """The one pool of this process, so that many small tasks pay for its start once; closed by whoever opened it.

    A pool that was stopped is not handed out again.
    """
    if _shared and not _shared[-1].is_stopped:
        yield _shared[-1]
        return
    with WorkerPool(processes) as pool:
        _shared.append(pool)
        try:
            yield pool
        finally:
            _shared.remove(pool)


class _Done:
    pass


_DONE: Final = _Done()


def call_here(function: str, *arguments: object) -> Any:
    """Run `package.module:function` in this process."""
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)(*arguments)


def map_here(function: str, calls: Iterable[tuple[object, ...]]) -> Iterator[Any]:
    """What `map_unordered` of workers does, in this process."""
    return (call_here(function, *arguments) for arguments in calls)


def import_modules(*names: str) -> None:
    """Import these; runs in a worker, whose collector then leaves them alone."""
    with without_collections("modules"):
        for name in names:
            importlib.import_module(name)


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer calls until the source ends; run in the worker."""
    calls: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def listen() -> None:
        while (message := _receive(source)) is not None:
            calls.put(message)
        os._exit(0)  # the parent is gone: what is uncommitted is rolled back by the database

    threading.Thread(target=listen, daemon=True).start()
    while True:
        function, arguments = pickle.loads(calls.get())
        try:
            answer = (True, call_here(function, *arguments))
        except Exception as error:  # noqa: BLE001  # it is raised again in the parent
            answer = (False, error)
        _send(sink, _pack(answer))


def _call(worker: "subprocess.Popen[bytes]", function: str, arguments: tuple[object, ...]) -> Any:
    assert worker.stdin and worker.stdout
    try:
        _send(worker.stdin, pickle.dumps((function, arguments)))
        message = _receive(worker.stdout)
    except (BrokenPipeError, ConnectionResetError):
        message = None
    if message is None:
        raise WorkerDied(f"a worker process ended (exit status {worker.wait()}) during {function}: run again to go on")
    is_result, value = pickle.loads(message)
    if is_result:
        return value
    raise value


def _pack(answer: tuple[bool, object]) -> bytes:
    is_result, value = answer
    try:
        message = pickle.dumps(answer)
        if not is_result:
            pickle.loads(message)  # some errors can be written but not made again
        return message
    except Exception as error:  # noqa: BLE001  # whatever a class does when pickled: the parent must hear of it
        told = f"{type(value).__name__}: {value}" if not is_result else f"a result that cannot be sent: {error}"
        return pickle.dumps((False, RuntimeError(told)))


def _send(pipe: BinaryIO | Any, message: bytes) -> None:
    pipe.write(_LENGTH.pack(len(message)) + message)
    pipe.flush()


def _receive(pipe: BinaryIO | Any) -> bytes | None:
    header = pipe.read(_LENGTH.size)
    if len(header) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(header)
    message: bytes = pipe.read(length)
    return message if len(message) == length else None


def _close_quietly(pipe: Any) -> None:
    try:
        pipe.close()
    except BrokenPipeError:
        return


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides what ends
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints goes to stderr, not between the answers
    do_without("pandas")  # Arrow would import it, lest its first array be one of pandas': 40 MB and half a second
    serve(sys.stdin.buffer, answers)
