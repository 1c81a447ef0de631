"""The Prefect server of commands in one home: started before Prefect is imported, so that both start at once.

It is the server Prefect would start itself, but in a session of its own: Ctrl-C in the terminal must not end it before
the run has told it how it ended. It stays for HINDCAST_PREFECT_MINUTES after the last command that used it, which the
next then finds ready; with 0 it ends with its command, and what a killed one leaves is ended by `flows.environment`.
"""

import atexit
import contextlib
import hashlib
import os
import subprocess
import sys
import time
import tomllib
import urllib.request
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from flows import prefect_server
from flows.environment import OWNER_VARIABLE
from flows.prefect_server import USERS, began_at, describe, is_alive, list_users, read_description
from flows.prefect_tables import DATABASE, is_elsewhere, make_tables
from hindcast.atomic import write_atomically
from hindcast.errors import HindcastError
from hindcast.settings import Settings
from hindcast.sockets import LOOPBACK, find_free_port

# On a busy machine it took 30 s.
_READY_SECONDS: Final = 90
_END_SECONDS: Final = 5
_OF_THE_SERVER: Final = ("PREFECT_SERVER_", "PREFECT_API_DATABASE_", "PREFECT_API_SERVICES_")
_used: list["_Server"] = []
_for_life: Final = contextlib.ExitStack()


class _Server:
    """A server that this process uses; `process` is there when it is to end with us."""

    def __init__(self, folder: Path, pid: int, process: "subprocess.Popen[bytes] | None") -> None:
        self.folder, self.pid, self.process, self.began = folder, pid, process, began_at(pid)

    def is_running(self) -> bool:
        """Whether its process is there."""
        return is_alive(self.pid, self.began)


def start_private_server(settings: Settings) -> None:
    """Use the home's server or start one, unless another is configured; sets PREFECT_API_URL and returns at once."""
    home = settings.home / "prefect"
    if os.environ["PREFECT_HOME"] != str(home) or _names_a_server(Path.cwd()):
        return
    home.mkdir(parents=True, exist_ok=True)
    minutes = settings.prefect_minutes
    if minutes:
        (home / USERS).mkdir(exist_ok=True)
        (home / USERS / str(os.getpid())).write_text(str(began_at(os.getpid())))
    found = read_description(home) if minutes else None
    if found and found["fingerprint"] == _fingerprint():
        os.environ["PREFECT_API_URL"] = found["api_url"]
        _used.append(_Server(home, found["pid"], None))
    else:
        _spawn(home, minutes)
    atexit.register(stop_private_server)  # before Prefect's own, and so after them: they still talk to it


def await_private_server() -> None:
    """Wait until the server answers, if this process has one; raises HindcastError when it does not come up."""
    deadline = time.monotonic() + _READY_SECONDS
    if _used:
        import fastapi.encoders  # noqa: F401  # Prefect's client will, once there is a server; now nobody waits for it
    while _used:
        server = _used[0]
        log = Path(os.environ["PREFECT_HOME"]) / "private-server.log"
        if not server.is_running() or time.monotonic() > deadline:
            end = " ".join(log.read_text(errors="replace").split())[-300:]
            raise HindcastError(f"Prefect's server did not start: {end or 'it said nothing'} (all of it: {log})")
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{os.environ['PREFECT_API_URL']}/health", timeout=5):
            _stop_heartbeats()
            if not _has_database(log.parent):
                _note_database(log.parent)
            return
        time.sleep(0.02)


def stop_private_server(seconds: float = _END_SECONDS) -> None:
    """Use the server no longer; one that is ours alone is ended, by force after so many seconds. Safe to call twice."""
    while _used:
        server = _used.pop()
        (server.folder / USERS / str(os.getpid())).unlink(missing_ok=True)
        if server.process:
            _end(server.process, seconds)


def end_lasting_server(home: Path) -> int | None:
    """End the server that stayed in a home; returns its pid. Raises HindcastError while a command uses it."""
    found = read_description(home / "prefect")
    if not found:
        return None
    if users := list_users(home / "prefect"):
        raise HindcastError(f"Prefect's server is used by process {users[0]}: end that first, or wait for it")
    (home / "prefect" / prefect_server.DESCRIPTION).unlink(missing_ok=True)  # it sees that, and ends
    deadline = time.monotonic() + 2 * _END_SECONDS
    while is_alive(found["pid"], found["began_at"]) and time.monotonic() < deadline:
        time.sleep(0.1)
    return int(found["pid"])


def _spawn(home: Path, minutes: float) -> None:
    port = find_free_port()
    os.environ["PREFECT_API_URL"] = f"http://{LOOPBACK}:{port}/api"
    command = [sys.executable, "-P", prefect_server.__file__, LOOPBACK, str(port), str(home), str(minutes)]
    environment = os.environ | {
        "PREFECT_UI_ENABLED": "0",
        "PREFECT__SERVER_EPHEMERAL": "1",
        "PREFECT__SERVER_FINAL": "1",
        # A library of its queue would have every function of its own check the types of its arguments.
        "PY_KEY_VALUE_DISABLE_BEARTYPE": "true",
    }
    if _has_database(home) or _make_database(home):
        environment |= {"PREFECT_SERVER_DATABASE_MIGRATE_ON_START": "0", "PREFECT_API_BLOCKS_REGISTER_ON_START": "0"}
    if minutes:
        environment.pop(OWNER_VARIABLE, None)  # it outlives us, and ends by itself
    with (home / "private-server.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    _used.append(_Server(home, process.pid, None if minutes else process))
    if minutes:
        process.returncode = 0  # or Python would warn that nobody waits for it, which is what we want
        describe(home, process.pid, api_url=os.environ["PREFECT_API_URL"], fingerprint=_fingerprint())


def _fingerprint() -> str:
    """Differs where a server would be another: by version, interpreter, settings, and the folder that may set some."""
    settings = [f"{name}={value}" for name, value in os.environ.items() if name.startswith(_OF_THE_SERVER)]
    return hashlib.sha256(
        "\n".join([version("prefect"), sys.executable, str(Path.cwd()), *sorted(settings)]).encode()
    ).hexdigest()


def _end(process: "subprocess.Popen[bytes]", seconds: float) -> None:
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _has_database(home: Path) -> bool:
    """True when the tables of this very version are here: looking again costs the server time."""
    if is_elsewhere() or not (home / DATABASE).is_file():
        return False
    with contextlib.suppress(OSError):
        return _version_path(home).read_text() == version("prefect")
    return False


def _make_database(home: Path) -> bool:
    """Make the tables, where the database is to be here; its blocks nobody asks for who runs flows alone."""
    is_made = make_tables(home)
    if is_made:
        _note_database(home)
    return is_made


def _note_database(home: Path) -> None:
    write_atomically(_version_path(home), version("prefect").encode())


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
