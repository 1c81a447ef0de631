"""As whom the embedded PostgreSQL runs: root, an ordinary user, closed folders."""

import os
import pwd
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from conftest import POSTGRES_VERSION, MakeServer
from server_processes import PYTHON_PATH, STARTER, ask, processes_in

from hindcast.errors import TargetError

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def test_folders_above_keep_their_modes(tmp_path: Path, make_server: MakeServer) -> None:
    closed = tmp_path / "closed" / "inner"
    closed.mkdir(parents=True)
    closed.parent.chmod(0o700)
    modes = [folder.stat().st_mode for folder in closed.parents]
    server = make_server(closed / "home")
    server.start()  # as root: below a folder only root can enter

    assert ask(server, "SELECT 1") == "1"
    assert [folder.stat().st_mode for folder in closed.parents] == modes


def test_somebody_elses_socket_folder_is_refused(tmp_path: Path, make_server: MakeServer) -> None:
    server = make_server(tmp_path / ("long" * 40))
    link = server.status().socket_dir
    link.symlink_to(tmp_path)
    try:
        with pytest.raises(TargetError, match="not a folder of yours"):
            server.start()
    finally:
        link.unlink()


@needs_root
def test_root_without_user_namespaces_runs_the_server_as_nobody(
    open_tmp_path: Path, make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(open_tmp_path))  # unshare is not to be found
    server = make_server(open_tmp_path / "home")
    skip_unless_nobody_can_run(server.binary("postgres"))
    pid = server.start().pid

    assert ask(server, "SELECT 1") == "1"
    assert psutil.Process(pid).username() == "nobody"
    assert server.home.owner() == pwd.getpwuid(0).pw_name
    monkeypatch.undo()
    server.stop()
    assert server.start().is_running  # with namespaces back, the data is still nobody's


@needs_root
def test_root_with_no_way_to_run_a_server_is_told_what_to_do(
    tmp_path: Path, make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    tmp_path.chmod(0o700)

    with pytest.raises(TargetError, match=r"other users cannot enter .*choose a HINDCAST_HOME"):
        make_server(tmp_path / "home").start()


@needs_root
def test_an_ordinary_user_can_run_it_and_root_can_stop_it(open_tmp_path: Path, make_server: MakeServer) -> None:
    python = python_for_nobody()
    nobody = pwd.getpwnam("nobody")
    home = open_tmp_path / "home"
    home.mkdir()
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    subprocess.run([*python, STARTER, str(home), str(POSTGRES_VERSION)], **as_nobody(), check=True)
    server = make_server(home)

    assert ask(server, "SELECT 1") == "1"
    server.stop()
    assert processes_in(server.data_dir) == []
    assert psutil.Process(server.start().pid).username() == "nobody"


@needs_root
def test_data_of_another_user_is_refused_to_an_ordinary_user(open_tmp_path: Path, make_server: MakeServer) -> None:
    python = python_for_nobody()
    make_server(open_tmp_path / "home").start()
    starter = [*python, STARTER, str(open_tmp_path / "home"), str(POSTGRES_VERSION)]
    refused = subprocess.run(starter, **as_nobody(), check=False, capture_output=True, text=True)

    assert "TargetError" in refused.stderr
    assert "choose a" in refused.stderr


@pytest.fixture
def open_tmp_path(tmp_path: Path) -> Iterator[Path]:
    """A folder every user can enter; pytest's own are closed."""
    path = Path("/tmp", f"hindcast-test-{os.getpid()}-{time.monotonic_ns()}")
    path.mkdir()
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def as_nobody() -> dict[str, object]:
    user = pwd.getpwnam("nobody")
    environment = {"PYTHONPATH": PYTHON_PATH, "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": "/", "env": environment}


def skip_unless_nobody_can_run(program: Path) -> None:
    try:
        subprocess.run([program, "--version"], **as_nobody(), check=True, stdout=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"the user nobody cannot run {program}")


def python_for_nobody() -> list[str]:
    """A Python of our version that the user nobody can run, with all we import."""
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        try:
            subprocess.run([python, "-c", "import hindcast.embedded"], **as_nobody(), check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return [python, "-c"]
    pytest.skip("the user nobody can reach no Python of this version, or not the project")
