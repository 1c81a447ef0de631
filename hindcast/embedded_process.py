"""How the embedded server's programs are found, as whom they run, and which of them run now.

A server is recognised by its working folder (PostgreSQL's processes stay in their data folder) or by a file
lock it inherited, never by a program's name.
"""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from hindcast.errors import TargetError, TransientError

POLL_SECONDS = 0.05  # a start takes about 0.2 s


@dataclass(frozen=True)
class Account:
    """As whom the server's programs run; PostgreSQL refuses to run as root.

    `uid` owns the server's files, as everybody else sees them. `prefix` goes before each command. With a
    `gid` the programs really change to `uid` and `gid`.
    """

    uid: int
    prefix: tuple[str, ...] = ()
    gid: int | None = None

    def run(self, command: list[str], output: int, keep_open: tuple[int, ...] = ()) -> int:
        """Run a command to its end, both its outputs to one descriptor; returns its exit code.

        It gets a session of its own: Ctrl-C in the terminal does not reach it.
        """
        is_other = self.gid is not None
        return subprocess.run(
            [*self.prefix, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",  # ours may be closed to the other user
            env=_environment(),
            pass_fds=keep_open,
            start_new_session=True,
            user=self.uid if is_other else None,
            group=self.gid,
            extra_groups=[] if is_other else None,
            check=False,
        ).returncode

    def give(self, folder: Path) -> None:
        """Make a folder of ours the account's."""
        if self.gid is not None:
            os.chown(folder, self.uid, self.gid, follow_symlinks=False)

    def can_use(self, folder: Path, program: Path) -> bool:
        """Tell whether programs run at all as this account, may enter the folder, and may run the program."""
        probe = ["/bin/sh", "-c", 'test -x "$1" && exec "$2" --version', "sh", str(folder), str(program)]
        try:
            return self.run(probe, output=subprocess.DEVNULL) == 0
        except OSError:
            return False


@dataclass(frozen=True)
class Postmaster:
    """The first process of a running server, as its `postmaster.pid` describes it."""

    pid: int
    socket_dir: Path | None
    is_ready: bool


def choose_account(home: Path, data_dir: Path, program: Path) -> Account:
    """Decide as whom to run; changes no permission anywhere. Existing data is run as its owner.

    As root, first choice is a user namespace: root outside, somebody else inside. Files stay root's, so
    folders closed to others (/root) need not be opened. Second choice is the user nobody.
    """
    me = os.geteuid()
    owner = data_dir.stat().st_uid if data_dir.exists() else me
    if me not in (0, owner):
        raise TargetError(f"{data_dir} belongs to uid {owner}, not to you (uid {me}): choose another HINDCAST_HOME")
    for account in _candidates(owner, is_new=not data_dir.exists()):
        if account == Account(me) or account.can_use(home, program):
            return account
    closed = _first_closed_folder(home) or _first_closed_folder(program)
    why = f"other users cannot enter {closed}" if closed else f"the data in {data_dir} belongs to uid {owner}"
    raise TargetError(
        f"PostgreSQL does not run as root; here user namespaces are refused, and {why}: "
        "choose a HINDCAST_HOME (and an installation) that others can enter, run as an ordinary user, "
        "or set DATABASE_URL"
    )


def find_postmaster(data_dir: Path) -> Postmaster | None:
    """Find the live server of a data folder; a leftover `postmaster.pid` naming another process is None."""
    try:
        lines = (data_dir / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise TargetError(f"{data_dir} belongs to another user: choose another HINDCAST_HOME") from error
    if not lines or not lines[0].strip().isdigit():
        return None
    pid = int(lines[0])
    try:
        if not _works_in(psutil.Process(pid), str(data_dir)):
            return None
    except psutil.NoSuchProcess:
        return None
    # The file grows while the server starts: line 5 is the socket's folder, line 8 the state.
    socket_dir = Path(lines[4]) if len(lines) > 4 and lines[4] else None
    return Postmaster(pid, socket_dir, is_ready=len(lines) > 7 and lines[7].strip() == "ready")


def stop_servers_of_deleted(data_dir: Path, timeout_seconds: float) -> None:
    """Stop a server whose data folder was deleted from this path while it ran, and wait for it.

    To be called while nothing is there. Such a server would notice within a minute, and on its way out remove
    the new server's socket, which has the same path.
    """
    orphans = [process for process in psutil.process_iter() if _is_postmaster_of(process, str(data_dir))]
    for process in orphans:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGQUIT)  # "immediate": there is nothing to save
    deadline = time.monotonic() + timeout_seconds
    while any(_works_in(process, str(data_dir)) for process in orphans):
        if time.monotonic() > deadline:
            raise TransientError(f"a server of the deleted {data_dir} does not stop: try again in a minute")
        time.sleep(POLL_SECONDS)


def _candidates(owner: int, *, is_new: bool) -> Iterator[Account]:
    me, nobody = os.geteuid(), _entry_of("nobody")
    can_map = owner == me and (me == 0 or _entry_of(me) is None)  # initdb refuses a uid without a name, too
    if can_map and (unshare := shutil.which("unshare")):
        inside = nobody.pw_uid if nobody else 65534
        yield Account(owner, (unshare, "--user", f"--map-user={inside}", f"--map-group={inside}", "--"))
    if me != 0:
        yield Account(me)
        return
    other = _entry_of(owner) if owner != 0 else nobody if is_new else None
    if other is not None:
        yield Account(other.pw_uid, gid=other.pw_gid)


def _entry_of(user: int | str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(user) if isinstance(user, int) else pwd.getpwnam(user)
    except KeyError:
        return None


def _first_closed_folder(path: Path) -> Path | None:
    for folder in reversed([path, *path.parents]):
        if folder.is_dir() and not folder.stat().st_mode & stat.S_IXOTH:
            return folder
    return None


def _environment() -> dict[str, str]:
    # PGPORT, PGDATA, PGOPTIONS and their kind are meant for somebody else's server; PREFECT_HOME and the owner mark
    # what ends with a command (flows/environment.py), which this server does not.
    foreign = ("PG", "PREFECT_", "HINDCAST_OWNER")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | {"LC_ALL": "C"}


def _is_postmaster_of(process: psutil.Process, folder: str) -> bool:
    # The postmaster alone shows its arguments; its children put what they do there.
    try:
        return _works_in(process, folder) and process.cmdline()[1:3] == ["-D", folder]
    except psutil.Error:
        return False


def _works_in(process: psutil.Process, folder: str) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        try:
            return process.cwd() == folder  # also when the folder was deleted since
        except psutil.AccessDenied:
            return process.cmdline()[1:3] == ["-D", folder]
    except psutil.Error:
        return False
