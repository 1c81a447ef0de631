"""Peak memory of a command and of everything below it: sizes ten times a second, who is there once a second.

To ask the system for a process's children costs a hundred times what a size does, and the command pays for it, too.
"""

import itertools
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final

import psutil

_SECONDS_BETWEEN: Final = 0.1
_LOOKS_AT_THE_SAME: Final = 10
_MB: Final = 1_000_000


@dataclass
class Peaks:
    """Bytes. `together` is the largest sum at one moment; pages that processes share count in each of them.

    `by_kind` is the largest sum of each kind of process, `largest` that of one process.
    """

    together: int = 0
    largest: int = 0
    by_kind: dict[str, int] = field(default_factory=dict)

    def add(self, sizes: list[tuple[str, int]]) -> None:
        """Take a look at all processes of one moment into account: the kind and the resident bytes of each."""
        sums: dict[str, int] = defaultdict(int)
        for kind, size in sizes:
            sums[kind] += size
            self.largest = max(self.largest, size)
        self.together = max(self.together, sum(sums.values()))
        for kind, size in sums.items():
            self.by_kind[kind] = max(self.by_kind.get(kind, 0), size)

    def as_megabytes(self) -> dict[str, float]:
        """What is published, in MB of 10^6 bytes."""
        figures = {"together": self.together, "largest": self.largest, **self.by_kind}
        return {name: round(size / _MB, 1) for name, size in figures.items()}


class MemoryWatch:
    """Watches a process tree while the context lasts."""

    def __init__(self, pid: int) -> None:
        self.peaks = Peaks()
        self._root = pid
        self._is_over = threading.Event()
        self._kinds: dict[int, str] = {}
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "MemoryWatch":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        processes: list[psutil.Process] = []
        for number in itertools.count():
            if self._is_over.wait(_SECONDS_BETWEEN):
                return
            if number % _LOOKS_AT_THE_SAME == 0:
                try:
                    root = psutil.Process(self._root)
                    processes = [root, *root.children(recursive=True)]
                except psutil.NoSuchProcess:
                    return
            self.peaks.add([found for process in processes if (found := self._look(process))])

    def _look(self, process: psutil.Process) -> tuple[str, int] | None:
        try:
            size = process.memory_info().rss
            if process.pid not in self._kinds:
                self._kinds[process.pid] = name_kind(process.cmdline())
        except psutil.Error:
            return None
        return self._kinds[process.pid], size


def name_kind(command: list[str]) -> str:
    """`workers` decode, load and verify; `prefect_server` keeps the run's state; `main` is the rest."""
    words = " ".join(command)
    if "hindcast.pool" in words:
        return "workers"
    return "prefect_server" if "prefect.server" in words or "prefect_server.py" in words else "main"
