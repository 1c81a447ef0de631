"""The embedded PostgreSQL: a real server from a wheel, in HINDCAST_HOME, on a Unix socket only we can reach.

A home holds `postgres/` (the data), `postgres-socket/`, `postgres.log` and two locks: `postgres.lock` is held
by whoever starts or stops, `postgres.running` by the server itself while any of its processes lives.
The server outlives the process that started it, until `stop`.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import pq, sql
from psycopg.conninfo import make_conninfo

from hindcast.embedded_files import (
    DEFAULT_SETTINGS,
    SOCKET_NAME,
    binary_path,
    has_lz4,
    hold_lock,
    is_locked,
    make_socket_dir,
    shared_buffers,
    socket_dir_of,
    write_settings,
)
from hindcast.embedded_process import (
    POLL_SECONDS,
    Account,
    Postmaster,
    choose_account,
    find_postmaster,
    stop_servers_of_deleted,
)
from hindcast.errors import ConfigurationError, TargetError, TransientError

DATABASE = "hindcast"
_LOG_BYTES = 10 * 1024 * 1024  # a longer log is set aside at the next start


@dataclass(frozen=True)
class ServerFacts:
    """What is known of a server; `pid` is None when it does not run."""

    home: Path
    data_dir: Path
    socket_dir: Path
    log_path: Path
    version: int
    pid: int | None

    @property
    def is_running(self) -> bool:
        return self.pid is not None


class EmbeddedServer:
    """One PostgreSQL in one home, shared by any number of processes. Making the object touches nothing."""

    def __init__(
        self,
        home: Path,
        version: int = 18,
        settings: Mapping[str, str] | None = None,
        timeout_seconds: float = 120.0,
    ) -> None:
        """`version` is the major version of a new server; existing data keeps its own.

        `settings` are added to DEFAULT_SETTINGS and `shared_buffers`, from the next start that finds no server running.
        """
        self.home = home.resolve()
        self.data_dir = self.home / "postgres"
        self.log_path = self.home / "postgres.log"
        self._new_version = version
        self._settings = DEFAULT_SETTINGS | {"shared_buffers": shared_buffers()} | dict(settings or {})
        self._timeout_seconds = timeout_seconds
        self._running_path = self.home / "postgres.running"

    def start(self) -> ServerFacts:
        """Make sure the server runs and has the database `hindcast`. Safe to run twice, even at once.

        A killed start leaves nothing the next one cannot work with. Raises TargetError with the log's end.
        """
        try:
            self.home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TargetError(f"HINDCAST_HOME {str(self.home)!r}: {error.strerror}") from error
        with self._start_lock() as lock:
            postmaster = find_postmaster(self.data_dir)
            if postmaster is not None and self._lost_its_socket(postmaster):
                self._halt(postmaster, self._timeout_seconds)  # somebody cleaned the temporary folder
                postmaster = None
            if postmaster is not None and self._await_ready():
                return self.status()
            log_start = self._launch(lock)
            if not self._await_ready():
                raise TargetError(f"PostgreSQL did not start in {self.home}: {self._log_tail(log_start)}")
        return self.status()

    def stop(self, timeout_seconds: float = 120.0) -> None:
        """Stop the server and wait until all its processes are gone; open transactions are rolled back.

        Safe to call twice, and from another process than the one that started it.
        """
        if not self.data_dir.exists():
            return
        with self._start_lock():
            socket_dir = self.status().socket_dir
            self._halt(find_postmaster(self.data_dir), timeout_seconds)
            with suppress(OSError):  # not there, or not empty
                socket_dir.rmdir()

    def status(self) -> ServerFacts:
        """Look, without starting or changing anything."""
        postmaster = find_postmaster(self.data_dir)
        socket_dir = (postmaster and postmaster.socket_dir) or socket_dir_of(self.home)
        pid = postmaster.pid if postmaster else None
        return ServerFacts(self.home, self.data_dir, socket_dir, self.log_path, self.version, pid)

    def url(self, database: str = DATABASE) -> str:
        """Connection URL for psycopg, psql and (as `postgresql+psycopg://`) SQLAlchemy; starts nothing."""
        # The port is spelled out because PGPORT in the environment would otherwise pick another socket.
        host = quote(str(self.status().socket_dir), safe="/")
        return f"postgresql://postgres@/{quote(database, safe='')}?host={host}&port=5432"

    def binary(self, name: str) -> Path:
        """Path of one of PostgreSQL's programs (psql, pg_dump, ...) of the server's own version."""
        return binary_path(name, self.version)

    @property
    def version(self) -> int:
        """Major version of the data, or of what the first start will make."""
        try:
            return int((self.data_dir / "PG_VERSION").read_text())
        except FileNotFoundError:
            return self._new_version
        except (PermissionError, ValueError) as error:
            raise TargetError(
                f"{self.data_dir} is not PostgreSQL data of yours: choose another HINDCAST_HOME"
            ) from error

    def _start_lock(self) -> AbstractContextManager[int]:
        held_by = "another process that starts or stops the server"
        return hold_lock(self.home / "postgres.lock", self._timeout_seconds, held_by)

    def _launch(self, lock: int) -> int:
        """Start the server without waiting for it; returns where its messages begin in the log."""
        if self.log_path.exists() and self.log_path.stat().st_size > _LOG_BYTES:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        log = os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            log_start = os.fstat(log).st_size
            account = choose_account(self.home, self.data_dir, self.binary("postgres"))
            if not (self.data_dir / "PG_VERSION").exists():
                self._create_data(account, log, lock)
            # Waits for what is left of a killed server: two servers on the same data destroy it.
            with hold_lock(self._running_path, self._timeout_seconds, "processes of an earlier server") as running:
                self._prepare(account)
                self._spawn(account, log, running)
        finally:
            os.close(log)
        return log_start

    def _create_data(self, account: Account, log: int, lock: int) -> None:
        """Make the data folder beside its place and move it there whole."""
        if self.data_dir.exists() and any(self.data_dir.iterdir()):
            raise TargetError(
                f"{self.data_dir} holds something else than PostgreSQL data: choose another HINDCAST_HOME"
            )
        for leftover in self.home.glob("postgres.new-*"):
            shutil.rmtree(leftover)
        stop_servers_of_deleted(self.data_dir, self._timeout_seconds)
        new = self.home / f"postgres.new-{os.getpid()}"
        new.mkdir(mode=0o700)
        account.give(new)
        log_start = os.fstat(log).st_size
        command = [str(self.binary("initdb")), f"--pgdata={new}", "--username=postgres"]
        command += [
            "--encoding=UTF8",
            "--locale=C",
            "--auth-local=trust",
            "--auth-host=reject",
            "--data-checksums",
        ]
        command += ["--no-sync"] if self._settings["fsync"] == "off" else []
        # initdb inherits the start lock: when we are killed, the next start waits until it has ended.
        if account.run(command, log, keep_open=(lock,)) != 0:
            raise TargetError(f"initdb failed in {self.home}: {self._log_tail(log_start)}")
        with (new / "postgresql.conf").open("a") as conf:
            conf.write("\ninclude_if_exists 'hindcast.conf'  # written anew at each start\n")
        new.rename(self.data_dir)

    def _prepare(self, account: Account) -> None:
        """Write the settings and clear what a killed server left. Only while no server of ours runs."""
        socket_dir = socket_dir_of(self.home)
        make_socket_dir(socket_dir, account)
        # PostgreSQL takes a leftover for a live server when its number now belongs to any process of ours,
        # which in a container is the rule, and an empty one (killed while writing it) for ever.
        for leftover in (self.data_dir / "postmaster.pid", *socket_dir.glob(f"{SOCKET_NAME}*")):
            leftover.unlink(missing_ok=True)
        settings = {"wal_compression": "lz4" if has_lz4(self.binary("pg_config")) else "on"} | self._settings
        write_settings(self.data_dir, settings)

    def _spawn(self, account: Account, log: int, running: int) -> None:
        # The shell puts the server in the background and ends: the server is no child of ours, survives us
        # and leaves us no zombie.
        command = ["/bin/sh", "-c", '"$@" &', "sh", str(self.binary("postgres")), "-D", str(self.data_dir)]
        command += [f"--unix_socket_directories={socket_dir_of(self.home)}", "--unix_socket_permissions=0700"]
        command += ["--listen_addresses=", "--port=5432"]
        account.run(command, log, keep_open=(running,))

    def _await_ready(self) -> bool:
        """Wait until the server answers and has the database; False as soon as it runs no more."""
        deadline = time.monotonic() + self._timeout_seconds
        while True:
            try:
                _ensure_database(self.url("postgres"))
                return True
            except psycopg.OperationalError as error:
                if not is_locked(self._running_path) and find_postmaster(self.data_dir) is None:
                    return False
                if time.monotonic() > deadline:
                    raise TransientError(
                        f"PostgreSQL in {self.home} is not ready after {self._timeout_seconds:g} s "
                        f"({error}): see {self.log_path}"
                    ) from error
            time.sleep(POLL_SECONDS)

    def _halt(self, postmaster: Postmaster | None, timeout_seconds: float) -> None:
        try:
            if postmaster is not None:
                os.kill(postmaster.pid, signal.SIGINT)  # "fast": ends sessions, writes a checkpoint
        except ProcessLookupError:
            pass
        except PermissionError as error:
            raise TargetError(f"the server in {self.home} belongs to another user: stop it as that user") from error
        deadline = time.monotonic() + timeout_seconds
        while find_postmaster(self.data_dir) is not None or is_locked(self._running_path):
            if time.monotonic() > deadline:
                raise TransientError(
                    f"PostgreSQL in {self.home} still runs {timeout_seconds:g} s after it was told to stop"
                )
            time.sleep(POLL_SECONDS)

    def _lost_its_socket(self, postmaster: Postmaster) -> bool:
        socket_dir = postmaster.socket_dir
        return postmaster.is_ready and socket_dir is not None and not (socket_dir / SOCKET_NAME).exists()

    def _log_tail(self, start: int) -> str:
        with self.log_path.open("rb") as log:
            log.seek(max(start, self.log_path.stat().st_size - 2000))
            lines = log.read().decode(errors="replace").split("\n")
        return f"{self.log_path} ends with: " + " | ".join(line for line in lines[-12:] if line.strip())


def run_psql(url: str, args: Sequence[str]) -> int:
    """Run psql on this terminal until the user leaves it; returns its exit code.

    The wheel's psql knows no TLS: for a server elsewhere, one installed on the machine is preferred.
    """
    try:
        options = pq.Conninfo.parse(url.replace("postgresql+psycopg://", "postgresql://", 1).encode())
    except psycopg.OperationalError:  # its message quotes the URL, password included
        raise ConfigurationError("the database URL is not one: expected postgresql://user@host/name") from None
    given = [(option.keyword, option.envvar, option.val) for option in options if option.val is not None]
    # By environment, not as arguments: any user may read a process's arguments, password included.
    variables = {variable.decode(): value.decode() for _, variable, value in given if variable}
    rest = {keyword.decode(): value.decode() for keyword, variable, value in given if not variable}
    program = None if variables.get("PGHOST", "/").startswith("/") else shutil.which("psql")
    command = [program or str(binary_path("psql", 18)), *(["-d", make_conninfo(**rest)] if rest else [])]
    with subprocess.Popen([*command, *args], env=os.environ | variables) as psql:
        while True:
            try:
                return psql.wait()
            except KeyboardInterrupt:
                continue  # Ctrl-C is psql's: it cancels the query


def _ensure_database(url: str) -> None:
    with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
        if found is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
