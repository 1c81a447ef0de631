"""Worker processes: results, errors, deaths, and that they end."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from hindcast.errors import ExportError, WorkerDied
from hindcast.pool import WorkerPool


class Stubborn(Exception):
    """An error that can be sent and not be made again."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one)


# What the workers call.


def fail_stubbornly() -> None:
    raise Stubborn("one", "two")


def refuse(sentence: str) -> None:
    raise ExportError(sentence)


def make_generator() -> Iterator[int]:
    return iter(x for x in [1])


def say(text: str) -> str:
    sys.stdout.write(text)
    sys.stdout.flush()
    os.system(f"echo {text}")  # a grandchild that writes where the answers go
    return text


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerPool]:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    with WorkerPool(2) as made:
        yield made


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_call_runs_in_another_process_and_returns_its_result(pool: WorkerPool) -> None:
    assert pool.call("os:getpid") not in (None, os.getpid())
    assert pool.call("operator:add", [1], [2]) == [1, 2]


def test_a_large_result_comes_whole(pool: WorkerPool) -> None:
    assert pool.call("operator:mul", b"x", 5_000_000) == b"x" * 5_000_000


def test_all_calls_are_answered_by_all_workers(pool: WorkerPool) -> None:
    assert sorted(pool.map_unordered("operator:neg", [(n,) for n in range(50)])) == list(range(-49, 1))
    pids = set(pool.map_unordered("test_pool:wait_a_moment", [()] * 8))
    assert len(pids) == 2


def wait_a_moment() -> int:
    time.sleep(0.05)
    return os.getpid()


def test_an_error_is_raised_as_itself_and_the_worker_lives(pool: WorkerPool) -> None:
    with pytest.raises(ExportError, match="no such part"):
        pool.call("test_pool:refuse", "no such part")
    with pytest.raises(ZeroDivisionError):
        pool.call("operator:truediv", 1, 0)
    with pytest.raises(ModuleNotFoundError):
        pool.call("no_such_module:x")
    assert pool.call("operator:neg", 1) == -1


@pytest.mark.parametrize("function", ["fail_stubbornly", "make_generator"])
def test_what_cannot_be_sent_is_told_and_the_worker_lives(pool: WorkerPool, function: str) -> None:
    with pytest.raises(RuntimeError, match=r"Stubborn: one|cannot be sent"):
        pool.call(f"test_pool:{function}")
    assert pool.call("operator:neg", 1) == -1


def test_what_a_call_prints_does_not_disturb_the_answers(pool: WorkerPool) -> None:
    assert pool.call("test_pool:say", "hello") == "hello"
    assert pool.call("operator:neg", 1) == -1


def test_a_worker_that_dies_is_told_and_replaced(pool: WorkerPool) -> None:
    for _ in range(3):
        with pytest.raises(WorkerDied, match=r"exit status 9\).*os:_exit"):
            pool.call("os:_exit", 9)
    with pytest.raises(WorkerDied, match="exit status -9"):
        pool.call("signal:raise_signal", 9)
    assert sorted(pool.map_unordered("operator:neg", [(1,), (2,)])) == [-2, -1]


def test_the_first_error_stops_the_handing_out(pool: WorkerPool) -> None:
    given = []

    def calls() -> Iterator[tuple[int, int]]:
        for number in range(10_000):
            given.append(number)
            yield 1, 5 - number

    with pytest.raises(ZeroDivisionError):
        list(pool.map_unordered("operator:floordiv", calls()))
    pool.call("operator:neg", 1)
    handed_out = len(given)
    pool.call("operator:neg", 1)
    assert len(given) <= handed_out + 1 < 1000


def test_an_error_in_the_calls_themselves_is_raised(pool: WorkerPool) -> None:
    def calls() -> Iterator[tuple[int]]:
        yield (1,)
        raise OSError("the list of calls broke")

    with pytest.raises(OSError, match="broke"):
        list(pool.map_unordered("operator:neg", calls()))


def test_leaving_the_pool_ends_its_workers_even_in_the_middle_of_a_call() -> None:
    with WorkerPool(2) as pool:
        pids = {pool.call("os:getpid") for _ in range(4)}
        thread = threading.Thread(target=pytest.raises, args=(WorkerDied, pool.call, "time:sleep", 60))
        thread.start()
        time.sleep(0.1)
    thread.join(5)
    assert not thread.is_alive()
    assert not any(map(is_alive, pids))


def test_a_closed_pool_starts_no_worker() -> None:
    with WorkerPool(1) as pool:
        pass
    with pytest.raises(WorkerDied, match="stopped"):
        pool.call("os:getpid")


def test_workers_end_when_their_parent_is_killed() -> None:
    code = "from hindcast.pool import WorkerPool; p = WorkerPool(1); print(p.call('os:getpid'), flush=True); input()"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.PIPE, env=environment
    ) as parent:
        assert parent.stdout
        worker = int(parent.stdout.readline())
        assert is_alive(worker)
        parent.kill()
    deadline = time.monotonic() + 10
    while is_alive(worker) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(worker)


def test_workers_import_neither_prefect_nor_great_expectations(pool: WorkerPool) -> None:
    modules = pool.call("test_pool:loaded_modules")
    assert not {"prefect", "great_expectations"} & modules


def test_workers_do_without_what_arrow_would_import_only_because_it_is_there(pool: WorkerPool) -> None:
    assert pool.call("test_pool:knows_pandas_after_an_array") is False
    with pytest.raises(ModuleNotFoundError, match="pandas is not for this process"):
        pool.call("importlib:import_module", "pandas")


def knows_pandas_after_an_array() -> bool:
    import pyarrow

    pyarrow.array([1])
    return "pandas" in sys.modules


def loaded_modules() -> set[str]:
    import hindcast.extract
    import hindcast.load  # noqa: F401

    return {name.partition(".")[0] for name in sys.modules}
