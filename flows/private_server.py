"""The Prefect server of one command: started before Prefect is imported, so that both start at once.

It is the server Prefect would start itself, but in a session of its own: Ctrl-C in the terminal must not end it before
the run has told it how it ended. It ends with the command; a killed command cannot, see `flows.environment`.
"""

import atexit
import contextlib
import os
import subprocess
import sys
import time
import tomllib
import urllib.request
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from hindcast.atomic import write_atomically
from hindcast.errors import HindcastError
from hindcast.settings import Settings
from hindcast.sockets import LOOPBACK, find_free_port

# On a busy machine it took 30 s.
_READY_SECONDS: Final = 90
_END_SECONDS: Final = 5
# Its imports make a million objects that stay: looking for garbage among them meanwhile costs half a second.
_SERVE: Final = """
import gc, sys
gc.disable()
import uvicorn
from prefect.server.api.server import create_app
gc.freeze()  # or what is collected when the app is made takes a tenth of a second
app = create_app()
gc.enable()
uvicorn.run(app, host=sys.argv[1], port=int(sys.argv[2]), log_level="error")
"""
_DATABASE_VARIABLES: Final = (
    "PREFECT_SERVER_DATABASE_CONNECTION_URL",
    "PREFECT_API_DATABASE_CONNECTION_URL",
    "PREFECT_SERVER_DATABASE_NAME",
    "PREFECT_API_DATABASE_NAME",
)
_running: list["subprocess.Popen[bytes]"] = []
_for_life: Final = contextlib.ExitStack()


def start_private_server(settings: Settings) -> None:
    """Start a server for this process, unless one is configured; sets PREFECT_API_URL and returns at once."""
    home = settings.home / "prefect"
    if os.environ["PREFECT_HOME"] != str(home) or _names_a_server(Path.cwd()):
        return
    home.mkdir(parents=True, exist_ok=True)
    port = find_free_port()
    os.environ["PREFECT_API_URL"] = f"http://{LOOPBACK}:{port}/api"
    command = [sys.executable, "-c", _SERVE, LOOPBACK, str(port)]
    marks = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    if _has_database(home):
        marks |= {"PREFECT_SERVER_DATABASE_MIGRATE_ON_START": "0", "PREFECT_API_BLOCKS_REGISTER_ON_START": "0"}
    with (home / "private-server.log").open("wb") as log:
        server = subprocess.Popen(
            command, env=os.environ | marks, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    _running.append(server)
    atexit.register(stop_private_server)  # before Prefect's own, and so after them: they still talk to it


def await_private_server() -> None:
    """Wait until the server answers, if this process has one; raises HindcastError when it does not come up."""
    deadline = time.monotonic() + _READY_SECONDS
    if _running:
        import fastapi.encoders  # noqa: F401  # Prefect's client will, once there is a server; now nobody waits for it
    while _running:
        log = Path(os.environ["PREFECT_HOME"]) / "private-server.log"
        if _running[0].poll() is not None or time.monotonic() > deadline:
            end = " ".join(log.read_text(errors="replace").split())[-300:]
            raise HindcastError(f"Prefect's server did not start: {end or 'it said nothing'} (all of it: {log})")
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{os.environ['PREFECT_API_URL']}/health", timeout=5):
            _stop_heartbeats()
            if not _has_database(log.parent):
                write_atomically(_version_path(log.parent), version("prefect").encode())
            return
        time.sleep(0.02)


def stop_private_server(seconds: float = _END_SECONDS) -> None:
    """End the server, by force after so many seconds. Safe to call twice."""
    while _running:
        server = _running.pop()
        server.terminate()
        try:
            server.wait(seconds)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _has_database(home: Path) -> bool:
    """True when a server of this very version has made its tables and blocks here: looking again costs it time."""
    if any(name in os.environ for name in _DATABASE_VARIABLES) or not (home / "prefect.db").is_file():
        return False
    with contextlib.suppress(OSError):
        return _version_path(home).read_text() == version("prefect")
    return False


def _version_path(home: Path) -> Path:
    return home / "private-server.version"


def _stop_heartbeats() -> None:
    """No automation watches this server, and the thread that sends heartbeats ends up to a second after its flow."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    _for_life.enter_context(temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}))


def _names_a_server(folder: Path) -> bool:
    """True when the environment or a file that Prefect reads in this folder says which server to use."""
    if "PREFECT_API_URL" in os.environ or "PREFECT_PROFILE" in os.environ:
        return True
    with contextlib.suppress(OSError):
        if "PREFECT_API_URL" in (folder / ".env").read_text(errors="replace"):
            return True
    for name, place in (("prefect.toml", ("api", "url")), ("pyproject.toml", ("tool", "prefect", "api", "url"))):
        with contextlib.suppress(OSError, tomllib.TOMLDecodeError, KeyError, TypeError):
            found: Any = tomllib.loads((folder / name).read_text())
            for key in place:
                found = found[key]
            return True
    return False
