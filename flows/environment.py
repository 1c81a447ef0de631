"""Prefect's environment, set before Prefect is imported: everything it keeps stays in HINDCAST_HOME."""

import contextlib
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from hindcast.atomic import write_atomically
from hindcast.settings import Settings

# Inherited by every process that Prefect starts for us: tells whose it is.
OWNER_VARIABLE = "HINDCAST_OWNER_PID"


@dataclass(frozen=True)
class LiveServer:
    """The server that `hindcast up` runs for this home. `started_at` is when the process began, in epoch seconds."""

    pid: int
    started_at: float
    ui_url: str
    api_url: str


def prepare_prefect(settings: Settings, is_verbose: bool) -> None:
    """Point Prefect at our home and keep it quiet; what the user set is left as it is.

    While `hindcast up` runs for this home, its server is used: no other is started, and runs appear in its UI.
    """
    defaults = {
        "PREFECT_HOME": str(settings.home / "prefect"),
        "PREFECT_LOGGING_LEVEL": "INFO" if is_verbose else "ERROR",
        # The shell gets one line of ours; tracebacks of failed tasks are in Prefect's own logs.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "NOTSET" if is_verbose else "CRITICAL",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "hindcast",
        # A thread of ours (the writer lock's, the governor's) has no flow run; its words go to the console alone.
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # The in-process server starts in 10 to 30 s on a busy machine.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
        # Recording task runs one by one stalls the next run by a minute after 1,000 of them.
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    }
    server = find_live_server(settings)
    if server:
        defaults["PREFECT_API_URL"] = server.api_url
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    stop_orphans(os.environ["PREFECT_HOME"])
    os.environ[OWNER_VARIABLE] = str(os.getpid())


def find_live_server(settings: Settings) -> LiveServer | None:
    """The server of the `hindcast up` that runs for this home, if one does and answers."""
    try:
        server = LiveServer(**json.loads(_live_server_path(settings).read_text()))
        process = psutil.Process(server.pid)
        if abs(process.create_time() - server.started_at) > 1:
            return None  # the pid is somebody else's by now
        with urllib.request.urlopen(f"{server.api_url}/health", timeout=5) as answer:
            return server if answer.status == 200 else None
    except (OSError, ValueError, TypeError, psutil.Error, urllib.error.URLError):
        return None


@contextlib.contextmanager
def announced(settings: Settings, ui_url: str, api_url: str) -> Iterator[None]:
    """Let commands of this home find our server while the context lasts."""
    path = _live_server_path(settings)
    server = LiveServer(os.getpid(), psutil.Process().create_time(), ui_url, api_url)
    write_atomically(path, json.dumps(asdict(server)).encode())
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def stop_orphans(prefect_home: str) -> list[int]:
    """Stop what Prefect ran for a `hindcast` of this home that was killed (it then cannot); returns the pids."""
    stopped = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            environment = process.environ()
            owner = environment.get(OWNER_VARIABLE, "")
            is_ours = environment.get("PREFECT_HOME") == prefect_home and owner.isdigit()
            if is_ours and process.pid != os.getpid() and not psutil.pid_exists(int(owner)):
                process.terminate()
                stopped.append(process.pid)
    return stopped


def owned_processes(prefect_home: str, owner: int) -> list[psutil.Process]:
    """Processes of this home that a `hindcast` started, directly or not, and still run; without itself."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid == owner or process.status() == psutil.STATUS_ZOMBIE:
                continue
            environment = process.environ()
            if environment.get("PREFECT_HOME") == prefect_home and environment.get(OWNER_VARIABLE) == str(owner):
                found.append(process)
    return found


def _live_server_path(settings: Settings) -> Path:
    return settings.home / "prefect" / "up.json"
