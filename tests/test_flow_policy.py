"""What Prefect tries again, and that showing progress never fails a step."""

import threading
from dataclasses import dataclass
from typing import Any

import pytest

from hindcast.errors import (
    ConfigurationError,
    ExportError,
    GateError,
    TargetError,
    TransientError,
    VerificationError,
    WorkerDied,
)
from hindcast.pool import WorkerPool, WorkersStopped, shared_pool
from hindcast.progress import listening
from tasks.policy import RETRY_DELAYS_SECONDS, TRANSIENT, is_worth_retrying

pytest_plugins = ["flow_fixtures", "loading_fixtures"]


@dataclass
class Ended:
    """A state as Prefect hands it over."""

    data: Any


@pytest.mark.parametrize("error", [TransientError("x"), WorkerDied("x")])
def test_a_fault_of_the_moment_is_tried_again(error: Exception) -> None:
    assert is_worth_retrying(None, None, Ended(error))


@pytest.mark.parametrize(
    "error",
    [
        GateError("x"),
        VerificationError("x"),
        TargetError("x"),
        ExportError("x"),
        ConfigurationError("x"),
        WorkersStopped("x"),
        ValueError("x"),
        MemoryError(),
        None,
    ],
)
def test_what_would_fail_again_is_not_tried_again(error: Exception | None) -> None:
    assert not is_worth_retrying(None, None, Ended(error))


def test_retries_outlast_a_restart_of_the_database_and_end_within_a_minute() -> None:
    assert TRANSIENT["retries"] == len(RETRY_DELAYS_SECONDS)
    assert 30 < sum(RETRY_DELAYS_SECONDS) < 60


def test_a_stopped_pool_says_so_and_is_not_handed_out_again() -> None:
    with shared_pool(1) as pool:
        pool.stop()
        with pytest.raises(WorkersStopped):
            pool.call("os:getpid")
        with shared_pool(1) as another:
            assert another.call("os:getpid") > 0


def test_stopping_ends_a_call_in_its_middle_as_stopped_not_as_died() -> None:
    with WorkerPool(1) as pool:
        pool.call("os:getpid")
        threading.Timer(0.2, pool.stop).start()
        with pytest.raises(WorkersStopped):
            pool.call("time:sleep", 60)


@pytest.mark.flow
def test_progress_goes_on_when_prefect_does_not_answer_and_never_beyond_its_total(
    prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect import flow
    from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    from tasks import progress as shown

    @flow
    def count_to_ten() -> None:
        nowhere = {PREFECT_API_URL: "http://127.0.0.1:1/api", PREFECT_CLIENT_MAX_RETRIES: 0}
        with temporary_settings(nowhere):
            progress = shown.StepProgress("load", 10, "records")
            progress.advance(8)
            progress.advance(8)
            progress.finish()

    monkeypatch.setattr(shown, "SECONDS_BETWEEN_UPDATES", 0.0)
    told: list[tuple[str, int, int]] = []
    with listening(lambda *what: told.append(what)):
        count_to_ten()
    assert told == [("load", 0, 10), ("load", 8, 10), ("load", 10, 10), ("load", 10, 10)]
