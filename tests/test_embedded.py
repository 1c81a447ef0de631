"""The embedded PostgreSQL, with real servers, real processes and real kills."""

import os
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import psutil
import psycopg
import pytest
import sqlalchemy
from conftest import POSTGRES_VERSION, MakeServer
from server_processes import ask, has_ended, processes_in, start_in_a_process, wait_until

from hindcast import embedded_files
from hindcast.embedded import EmbeddedServer, run_psql
from hindcast.errors import ConfigurationError, TargetError, TransientError


@pytest.fixture
def server(tmp_path: Path, make_server: MakeServer) -> EmbeddedServer:
    return make_server(tmp_path / "home")


def test_first_start_makes_a_server_with_the_database(server: EmbeddedServer) -> None:
    facts = server.start()

    assert facts.is_running
    assert ask(server, "SELECT current_database()") == "hindcast"
    assert int(ask(server, "SHOW server_version_num")) // 10000 == POSTGRES_VERSION


def test_starting_a_running_server_changes_nothing(server: EmbeddedServer) -> None:
    assert server.start() == server.start()


def test_rows_survive_a_restart(server: EmbeddedServer) -> None:
    server.start()
    with psycopg.connect(server.url()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    server.stop()
    server.start()

    assert ask(server, "SELECT answer FROM kept") == "42"


def test_stop_leaves_no_process_and_works_twice(server: EmbeddedServer) -> None:
    server.start()
    assert processes_in(server.data_dir)
    server.stop()
    server.stop()

    assert processes_in(server.data_dir) == []
    assert not server.status().is_running


def test_status_and_stop_of_a_home_that_never_was_make_nothing(server: EmbeddedServer) -> None:
    server.stop()

    assert not server.status().is_running
    assert not server.home.exists()


def test_two_processes_may_make_the_first_start_at_once(server: EmbeddedServer) -> None:
    with ThreadPoolExecutor() as pool:
        pids = set(pool.map(lambda _: start_in_a_process(server).communicate()[0], range(3)))

    assert pids == {f"{server.status().pid}\n"}


def test_a_new_home_can_be_started_from_two_threads(server: EmbeddedServer) -> None:
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(lambda _: server.start(), range(2))

    assert first == second


@pytest.mark.parametrize("name", ["postgres.new-*", "postgres.new-*/global/pg_control", "postgres/postmaster.pid"])
def test_a_first_start_killed_at_any_point_can_be_done_again(server: EmbeddedServer, name: str) -> None:
    with start_in_a_process(server) as starter:
        wait_until(lambda: any(server.home.glob(name)))
        starter.kill()
    server.start()

    assert ask(server, "SELECT 1") == "1"
    assert list(server.home.glob("postgres.new-*")) == []


def test_the_server_survives_a_kill_of_its_starters_whole_session(server: EmbeddedServer) -> None:
    with start_in_a_process(server, "import time; time.sleep(60)") as starter:
        pid = int(starter.stdout.readline())
        os.killpg(starter.pid, signal.SIGKILL)

    assert ask(server, "SELECT 1") == "1"
    assert server.start().pid == pid


def test_another_process_can_stop_it(server: EmbeddedServer, tmp_path: Path) -> None:
    with start_in_a_process(server):
        pass
    EmbeddedServer(tmp_path / "home").stop()

    assert processes_in(server.data_dir) == []


def test_a_killed_server_starts_again_at_once(server: EmbeddedServer) -> None:
    pid = server.start().pid
    os.kill(pid, signal.SIGKILL)

    assert server.start().pid != pid
    assert ask(server, "SELECT 1") == "1"


@pytest.mark.parametrize("content", ["", "{pid}\n{data_dir}\n1\n5432\n"])
def test_a_leftover_pid_file_is_no_server(server: EmbeddedServer, content: str) -> None:
    server.start()
    server.stop()
    leftover = content.format(pid=os.getppid(), data_dir=server.data_dir)  # a live process, but no server
    (server.data_dir / "postmaster.pid").write_text(leftover)
    socket_dir = server.status().socket_dir
    socket_dir.mkdir()
    (socket_dir / ".s.PGSQL.5432.lock").write_text(leftover)
    assert not server.status().is_running

    server.stop()  # must not signal that process
    assert server.start().is_running


def test_a_second_server_never_starts_while_a_process_of_the_first_lives(
    tmp_path: Path, server: EmbeddedServer
) -> None:
    server.start()
    pid_file = server.data_dir / "postmaster.pid"
    pid_file.rename(tmp_path / "postmaster.pid")  # as seen from another container: alive, but not to be found
    impatient = EmbeddedServer(server.home, timeout_seconds=0.2)
    try:
        with pytest.raises(TransientError, match="earlier server"):
            impatient.start()
    finally:
        (tmp_path / "postmaster.pid").rename(pid_file)


def test_a_home_deleted_while_its_server_ran_can_be_made_anew(server: EmbeddedServer) -> None:
    old = server.start().pid
    shutil.rmtree(server.home)

    assert server.start().pid != old
    wait_until(lambda: has_ended(old))
    assert ask(server, "SELECT 1") == "1"


def test_a_lost_socket_is_made_again(server: EmbeddedServer) -> None:
    shutil.rmtree(server.start().socket_dir)
    server.start()

    assert ask(server, "SELECT 1") == "1"


def test_two_homes_do_not_disturb_each_other(tmp_path: Path, make_server: MakeServer) -> None:
    one, two = make_server(tmp_path / "one"), make_server(tmp_path / "two")
    one.start()
    pid = two.start().pid
    one.stop()

    assert two.status().pid == pid
    assert ask(two, "SELECT 1") == "1"


def test_existing_data_keeps_its_version(server: EmbeddedServer) -> None:
    server.start()
    other = EmbeddedServer(server.home, version=34 - POSTGRES_VERSION)

    assert other.start().version == POSTGRES_VERSION
    assert f"({POSTGRES_VERSION}" in subprocess.check_output([other.binary("pg_dump"), "--version"], text=True).replace(
        "(PostgreSQL) ", "("
    )


def test_data_of_a_version_we_lack_is_refused(server: EmbeddedServer) -> None:
    server.data_dir.mkdir(parents=True)
    (server.data_dir / "PG_VERSION").write_text("17\n")

    with pytest.raises(TargetError, match=r"PostgreSQL 17: expected one of \[16, 18\]"):
        server.start()


def test_a_folder_with_something_else_in_it_is_left_alone(server: EmbeddedServer) -> None:
    server.data_dir.mkdir(parents=True)
    (server.data_dir / "thesis.txt").write_text("ten years of work")

    with pytest.raises(TargetError, match="something else"):
        server.start()
    assert (server.data_dir / "thesis.txt").read_text() == "ten years of work"


def test_a_server_that_cannot_start_says_why(server: EmbeddedServer) -> None:
    with pytest.raises(TargetError, match='unrecognized configuration parameter "no_such_setting"'):
        EmbeddedServer(server.home, settings={"no_such_setting": "1"}).start()


@pytest.mark.parametrize("name", ["with space+%~", "a,b:c@d'e\"$(f)", "é" * 20, "long" * 40])
def test_any_home_can_be_connected_to(tmp_path: Path, make_server: MakeServer, name: str) -> None:
    server = make_server(tmp_path / name)
    facts = server.start()
    url = server.url().replace("postgresql://", "postgresql+psycopg://")
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT current_database()").scalar() == "hindcast"
    engine.dispose()
    assert run_psql(server.url(), ["-qc", "SELECT 1", "-o", str(tmp_path / "out")]) == 0
    assert facts.socket_dir.stat().st_mode & 0o777 == 0o700
    server.stop()
    assert not facts.socket_dir.exists()


def test_settings_of_the_environment_do_not_leak_in(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PGPORT": "6543",
        "PGHOST": "nowhere",
        "PGDATA": "/nowhere",
        "PGDATABASE": "other",
    }.items():
        monkeypatch.setenv(name, value)
    server.start()

    assert ask(server, "SHOW port") == "5432"


def test_the_server_listens_on_its_socket_only(server: EmbeddedServer) -> None:
    pid = server.start().pid

    assert ask(server, "SHOW listen_addresses") == ""
    assert psutil.Process(pid).net_connections(kind="inet") == []


def test_a_default_server_is_durable(tmp_path: Path, make_server: MakeServer) -> None:
    make_server(tmp_path)  # stops it afterwards
    server = EmbeddedServer(tmp_path, POSTGRES_VERSION, {"shared_buffers": "64MB"})
    server.start()

    for name, expected in {
        "fsync": "on",
        "synchronous_commit": "on",
        "shared_buffers": "64MB",
        "TimeZone": "UTC",
    }.items():
        assert ask(server, f"SHOW {name}") == expected


@pytest.mark.parametrize(
    ("machine", "container", "buffers"),
    [
        (24 << 30, "max\n", "6144MB"),
        (24 << 30, str(2 << 30), "512MB"),
        (24 << 30, str(1 << 62), "6144MB"),
        (256 << 30, None, "8192MB"),
        (256 << 20, None, "128MB"),
    ],
)
def test_buffers_are_a_quarter_of_the_memory_there_is(
    machine: int, container: str | None, buffers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = tmp_path / "memory.max"
    if container is not None:
        limit.write_text(container)
    monkeypatch.setattr(embedded_files, "_CONTAINER_LIMITS", (limit,))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=machine))
    assert embedded_files.shared_buffers() == buffers


def test_psqls_exit_code_is_returned(tmp_path: Path) -> None:
    assert run_psql(f"postgresql://postgres@/hindcast?host={tmp_path}&keepalives=1", ["-c", "SELECT 1"]) == 2


def test_psql_does_not_show_a_password_in_its_arguments(tmp_path: Path, server: EmbeddedServer) -> None:
    server.start()
    url = server.url().replace("postgres@", "postgres:hunter2@")
    run_psql(url, ["-qc", r"\! cat /proc/$PPID/cmdline /proc/$PPID/environ > " + str(tmp_path / "seen")])
    arguments, _, rest = (tmp_path / "seen").read_text().partition(r"\!")

    assert "psql" in arguments and "hunter2" not in arguments
    assert "PGPASSWORD=hunter2" in rest


def test_a_database_url_that_is_none_is_not_repeated() -> None:
    with pytest.raises(ConfigurationError, match="expected postgresql://") as raised:
        run_psql("postgresql://me:hunter2@[host", [])
    assert "hunter2" not in str(raised.value)
