"""Prefect's environment, set before Prefect is imported: everything it keeps stays in HINDCAST_HOME."""

import contextlib
import os

import psutil

from hindcast.settings import Settings

# Inherited by the server that Prefect starts for us: tells whose it is.
OWNER_VARIABLE = "HINDCAST_OWNER_PID"


def prepare_prefect(settings: Settings, is_verbose: bool) -> None:
    """Point Prefect at our home and keep it quiet; what the user set is left as it is."""
    defaults = {
        "PREFECT_HOME": str(settings.home / "prefect"),
        "PREFECT_LOGGING_LEVEL": "INFO" if is_verbose else "ERROR",
        # The shell gets one line of ours; tracebacks of failed tasks are in Prefect's own logs.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "NOTSET" if is_verbose else "CRITICAL",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "hindcast",
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
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    stop_orphans(os.environ["PREFECT_HOME"])
    os.environ[OWNER_VARIABLE] = str(os.getpid())


def stop_orphans(prefect_home: str) -> list[int]:
    """Stop Prefect servers of this home whose `hindcast` was killed (it then cannot stop them); returns their pids."""
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
