"""The acceptance suite of LLM analytics as tests, one a check; and that it gates, tells, and cleans up."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from accepting import MakeStage
from click.testing import CliRunner
from loading import query

from flows.cli import cli
from hindcast.acceptance import local
from hindcast.acceptance.local import LocalStage, local_stage, require_loopback
from hindcast.acceptance.local_checks import PHASES, a_basic_generation_is_kept, a_value_of_1_kb_is_read_back
from hindcast.acceptance.outcome import CheckFailed, Phase, Skipped, render_markdown, render_table, run_check
from hindcast.acceptance.payloads import CONTENT_TYPES, SIZES, make_payload
from hindcast.acceptance.request import build_request
from hindcast.acceptance.run import run_phases
from hindcast.acceptance.teams import Removed, make_team
from hindcast.errors import ConfigurationError
from hindcast.objects.local import LocalStore
from hindcast.objects.s3 import S3Store
from hindcast.settings import load_settings

pytest_plugins = ["loading_fixtures", "objects_fixtures", "acceptance_fixtures"]
CHECKS = [check for phase in PHASES for check in phase.checks]
LEFT = (
    "SELECT (SELECT count(*) FROM analytics_events), (SELECT count(*) FROM llm_objects),"
    " (SELECT count(*) FROM capture_tokens)"
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_check_passes_on_our_own_endpoint(stage: LocalStage, check: Callable[[LocalStage], str]) -> None:
    try:
        assert check(stage)
    except Skipped as reason:
        pytest.skip(str(reason))  # a store of S3 is needed; the test below has one


def test_every_phase_is_green_on_s3_and_nothing_is_skipped(make_stage: MakeStage, bucket: str, configured: str) -> None:
    store = S3Store(bucket)
    report = run_phases("local", PHASES, make_stage(store, store))
    assert {check.status for phase in report.phases for check in phase.checks} == {"passed"}, render_table(report)
    assert report.is_green and [phase.name for phase in report.phases] == [
        "1 endpoint", "2 blobs", "4 multipart file", "5 authorization", "7 compression", "edge cases", "cleanup",
    ]  # fmt: skip
    assert query(configured, LEFT) == [(0, 0, 0)] and not list(store.list())


def test_when_phase_2_fails_the_later_ones_are_not_started(
    make_stage: MakeStage, tmp_path: Path, configured: str
) -> None:
    written = LocalStore(tmp_path / "objects", "llma")
    stage = make_stage(written, LocalStore(tmp_path / "elsewhere", "llma"))  # a bucket that is not the endpoint's
    report = run_phases("local", PHASES, stage)
    statuses = {phase.name: phase.status for phase in report.phases}
    assert statuses.pop("1 endpoint") == "passed" and statuses.pop("2 blobs") == "failed"
    assert statuses.pop("cleanup") == "failed" and set(statuses.values()) == {"not started"}
    table = render_table(report)
    assert "FAILED  a value of 1 kb" in table and "-       valid tokens are let in" in table
    assert "objects that the endpoint noted are not in" in table  # what is left elsewhere is told
    assert not report.is_green and report.summary.startswith("acceptance local: failed (")
    assert query(configured, LEFT) == [(0, 0, 0)]


def test_cleanup_leaves_what_is_not_of_the_run(stage: LocalStage, configured: str) -> None:
    other = make_team(stage.connection, "0" * 32)
    assert stage.send(other, build_request()).status_code == 200
    a_value_of_1_kb_is_read_back(stage)
    assert stage.clean_up().startswith("removed 3 rows, 3 objects, 3 notes of objects, 1 tokens")
    assert query(configured, LEFT) == [(1, 0, 1)]


def test_cleanup_that_finds_something_left_fails(stage: LocalStage, monkeypatch: pytest.MonkeyPatch) -> None:
    a_value_of_1_kb_is_read_back(stage)
    with monkeypatch.context() as patch:
        patch.setattr(local, "remove_teams", lambda *_: Removed())
        with pytest.raises(CheckFailed, match="left behind: 3 rows, 3 objects, 3 notes of objects, 1 tokens"):
            stage.clean_up()
    stage.clean_up()


def test_the_next_run_removes_what_a_killed_one_left(stage: LocalStage, configured: str) -> None:
    a_value_of_1_kb_is_read_back(stage)
    assert local.sweep_left_behind(stage.connection, stage.store).tokens == 0  # it may be at work
    stage.connection.execute("UPDATE capture_tokens SET created_at = now() - interval '2 hours'")
    with local_stage(load_settings()):
        pass
    assert query(configured, LEFT) == [(0, 0, 0)]


def test_a_token_that_only_looks_like_ours_is_left(stage: LocalStage, configured: str) -> None:
    for name in ("hindcast-acceptance-tests", "hindcast-acceptance-" + "z" * 32):
        stage.connection.execute(
            "INSERT INTO capture_tokens (token_hash, team, name, created_at)"
            " VALUES (%s, 't', %s, now() - interval '1 year')",
            (hashlib.sha256(name.encode()).hexdigest(), name),
        )
    local.sweep_left_behind(stage.connection, stage.store)
    assert query(configured, LEFT) == [(0, 0, 2)]


def test_a_running_endpoint_can_be_checked_instead(stage: LocalStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPTURE_ENDPOINT", f"{stage.address}/i/v0/ai")
    with local_stage(load_settings()) as other:
        assert other.address == stage.address
        assert a_basic_generation_is_kept(other)
        other.clean_up()


@pytest.mark.parametrize("address", ["https://us.posthog.com", "http://10.0.0.1:8010", "127.0.0.1:8010", "ftp://::1"])
def test_local_mode_writes_to_this_machine_only(address: str) -> None:
    with pytest.raises(ConfigurationError, match="CAPTURE_ENDPOINT"):
        require_loopback(address)


def test_a_check_that_raises_is_a_failed_check_without_a_token_in_it(stage: LocalStage) -> None:
    def broken(_: LocalStage) -> str:
        raise ValueError("header b'Bearer phc_secret_one' | bad")

    result = run_check(broken, stage)
    assert (result.status, result.detail) == ("failed", "unexpected ValueError: header b'Bearer <token>' | bad")
    report = run_phases("local", [Phase("1", "x", (broken,))], stage)
    assert "<token>' \\| bad" in render_markdown(report)


@pytest.mark.parametrize("kind", CONTENT_TYPES)
@pytest.mark.parametrize("size", [32, 33, 4_095, *SIZES.values()])
def test_payloads_have_their_size_and_are_what_they_say(kind: str, size: int) -> None:
    payload = make_payload(size, kind, 1)
    assert len(payload.data) == size and payload == make_payload(size, kind, 1) != make_payload(size, kind, 2)
    if kind == "application/json":
        json.loads(payload.data)
    elif kind == "text/plain":
        payload.data.decode()


def test_production_mode_tells_every_setting_that_is_missing(configured: str) -> None:
    done = CliRunner().invoke(cli, ["acceptance", "--mode", "production"])
    assert done.exit_code == 2
    assert "POSTHOG_HOST, POSTHOG_PROJECT_ID, POSTHOG_API_KEY, LLMA_TEAM_ID or" in done.stderr
