"""Runs a Prefect server, the deployments and workers as processes of ours, and ends them in the right order.

Requires a free port of this machine. Promises: the server listens on the loopback address only; when the launcher ends
(also by a signal) runs are told to end first, so that their ledger is true, then workers, then the server; no process
of it is left, except the embedded PostgreSQL, which is not its own.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import psutil

from flows.environment import owned_processes
from hindcast.errors import ConfigurationError, HindcastError
from hindcast.sockets import LOOPBACK

POOL: Final = "hindcast"
PROJECT: Final = Path(__file__).resolve().parents[1]
# Prefect imports for 5 to 30 s on a busy machine, and creates its database at the first start.
READY_SECONDS: Final = 180
# A run that is told to end closes its ledger and writes its report in a few seconds.
RUN_END_SECONDS: Final = 20
PROCESS_END_SECONDS: Final = 15


class LaunchError(HindcastError):
    """A process of `hindcast up` did not start, or ended by itself."""


@dataclass
class Launcher:
    """The processes of one `hindcast up`. `logs` is where each writes its log; `folder` is where runs work."""

    port: int
    workers: int
    logs: Path
    folder: Path
    prefect_file: Path
    server: "subprocess.Popen[bytes] | None" = None
    started: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def ui_url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def api_url(self) -> str:
        return f"{self.ui_url}/api"

    def start_server(self) -> None:
        """Start the server; returns at once."""
        arguments = ["server", "start", "--host", LOOPBACK, "--port", str(self.port)]
        self.server = self._start("server", arguments)

    def await_server(self) -> None:
        """Wait until the server answers; raises LaunchError with the end of its log when it does not."""
        deadline = time.monotonic() + READY_SECONDS
        while not self._is_ready():
            if self.server is None or self.server.poll() is not None:
                raise LaunchError(f"Prefect's server ended: {self._tail('server')}")
            if time.monotonic() > deadline:
                raise LaunchError(f"Prefect's server did not answer in {READY_SECONDS} s: {self._tail('server')}")
            time.sleep(0.2)

    def deploy(self) -> None:
        """Register the deployments of the file; raises LaunchError with what Prefect said when it could not."""
        command = ["--no-prompt", "deploy", "--all", "--prefect-file", str(self.prefect_file)]
        code = self._start("deploy", command).wait()
        del self.started["deploy"]
        if code:
            raise LaunchError(f"{self.prefect_file}: not deployed: {self._tail('deploy')}")

    def start_workers(self) -> None:
        """Start the workers that are not running."""
        for number in range(1, self.workers + 1):
            name = f"worker-{number}"
            if name not in self.started or self.started[name].poll() is not None:
                arguments = ["worker", "start", "--pool", POOL, "--type", "process", "--name", f"{POOL}-{number}"]
                self._start(name, [*arguments, "--install-policy", "never"])

    def watch(self) -> None:
        """Return only by an exception: a signal's, or LaunchError when the server ended by itself."""
        while True:
            time.sleep(1)
            if self.server is None or self.server.poll() is not None:
                raise LaunchError(f"Prefect's server ended: {self._tail('server')}")
            self.start_workers()

    def stop(self, tell: Callable[[str], None]) -> None:
        """End the runs, the workers, the server, and whatever of ours is left. Safe to call twice."""
        workers = [process for name, process in self.started.items() if name.startswith("worker")]
        runs = _flow_runs_below(workers)
        if runs:
            tell(f"ending {len(runs)} process{'es' if len(runs) > 1 else ''} of runs; they can go on later")
            _end(runs, RUN_END_SECONDS)
        _end(_alive(workers), PROCESS_END_SECONDS)
        _end(_alive(self.started.values()), PROCESS_END_SECONDS)
        _end(owned_processes(os.environ["PREFECT_HOME"], os.getpid()), 2)
        for process in self.started.values():
            process.wait()

    def _start(self, name: str, arguments: list[str]) -> "subprocess.Popen[bytes]":
        # A session of its own: Ctrl-C in the terminal reaches us alone, and we end the others in order.
        with (self.logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "prefect", *arguments],
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.started[name] = process
        return process

    def _environment(self) -> dict[str, str]:
        # Flows are imported by name: from where this file is, also when Hindcast is not installed.
        path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
        return os.environ | {"PREFECT_API_URL": self.api_url, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.api_url}/ready", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def _tail(self, name: str) -> str:
        path = self.logs / f"{name}.log"
        lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip(" ╭╮╰╯│─")]
        return f"{' | '.join(lines[-3:])[-400:] or 'it said nothing'} (all of it: {path})"


def find_prefect_file(folder: Path) -> Path:
    """prefect.yaml of this folder, else of the project; raises ConfigurationError when there is none."""
    for place in (folder, PROJECT):
        if (place / "prefect.yaml").is_file():
            return place / "prefect.yaml"
    raise ConfigurationError(
        f"no prefect.yaml in {folder} nor in {PROJECT}: run this in a clone of the project, or copy the file from one"
    )


@contextlib.contextmanager
def fresh_logs(folder: Path) -> Iterator[None]:
    """Begin new log files; those of the last time are kept as `*.log.old`."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.log"):
        path.replace(path.with_suffix(".log.old"))
    yield


def _flow_runs_below(workers: list["subprocess.Popen[bytes]"]) -> list[psutil.Process]:
    """Processes that execute a flow: what a worker started, without the decoding processes below it."""
    found: list[psutil.Process] = []
    for worker in workers:
        with contextlib.suppress(psutil.Error):
            below = psutil.Process(worker.pid).children(recursive=True)
            found.extend(process for process in below if "hindcast.pool" not in process.cmdline())
    return found


def _alive(processes: "Iterable[subprocess.Popen[bytes]]") -> list[psutil.Process]:
    found = []
    for process in processes:
        if process.poll() is None:
            with contextlib.suppress(psutil.Error):
                found.append(psutil.Process(process.pid))
    return found


def _end(processes: list[psutil.Process], seconds: float) -> None:
    """Ask processes to end; kill those that have not after so many seconds."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, left = psutil.wait_procs(processes, timeout=seconds)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=5)
