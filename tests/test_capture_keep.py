"""Durable before it is answered, or nothing: retries, conflicts, outages, kills."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from capturing import TEAM, TOKEN, Capture, blob, build_body, event_part, make_fields
from click.testing import CliRunner
from loading import query

import hindcast.capture.sessions
from flows.cli import cli
from hindcast.capture.tokens import read_token
from hindcast.database import connect
from hindcast.embedded import EmbeddedServer
from hindcast.errors import StoreUnavailable
from hindcast.objects.ledger import sweep
from hindcast.objects.local import LocalStore
from hindcast.objects.teams import TeamReader, team_of
from hindcast.settings import load_settings

pytest_plugins = ["loading_fixtures", "capture_fixtures"]
WITH_BLOB = (event_part(), blob("$ai_input"))


def test_the_same_request_again_is_accepted_and_changes_nothing(capture: Capture) -> None:
    first = capture.send(*WITH_BLOB)
    before = (capture.rows(), capture.ledger(), list(capture.store.list()))
    again = capture.send(*WITH_BLOB)
    assert (again.status_code, again.json()) == (200, first.json())
    assert (capture.rows(), capture.ledger(), list(capture.store.list())) == before


@pytest.mark.parametrize(
    "parts",
    [
        (event_part(), blob("$ai_input", b"A LARGE VALUE")),
        (event_part(), blob("$ai_input"), blob("$ai_output_choices")),
        (event_part(distinct_id="another"), blob("$ai_input")),
        (event_part(timestamp="2026-01-02T03:04:06Z"), blob("$ai_input")),
        (event_part(),),
    ],
    ids=["other bytes", "another value", "another user", "another time", "no value"],
)
def test_other_content_under_one_uuid_is_a_conflict_that_changes_nothing(capture: Capture, parts: Any) -> None:
    capture.send(*WITH_BLOB)
    before = (capture.rows(), capture.ledger(), list(capture.store.list()))
    answer = capture.send(*parts)
    assert (answer.status_code, answer.json()["error"].startswith("uuid: ")) == (409, True)
    assert (capture.rows(), capture.ledger(), list(capture.store.list())) == before


def test_a_value_for_an_event_that_has_none_is_a_conflict_and_leaves_no_object(capture: Capture) -> None:
    capture.send(event_part())
    assert capture.send(*WITH_BLOB).status_code == 409
    assert not list(capture.store.list()) and not capture.ledger()


def test_many_writers_of_one_event_leave_one_row(capture: Capture) -> None:
    statuses: list[int] = []
    bodies = [build_body(event_part(), blob("$ai_input", data)) for data in (b"one", b"two")] * 6
    threads = [threading.Thread(target=lambda b=body: statuses.append(capture.post(b).status_code)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] * 6 + [409] * 6
    assert len(capture.rows()) == 1
    assert capture.reader().read_part(capture.rows()[0][6]["$ai_input"]).body in (b"one", b"two")


def test_an_event_of_a_month_without_a_partition_is_kept(capture: Capture) -> None:
    assert capture.send(event_part(timestamp="2003-02-28T23:59:59Z")).status_code == 200
    assert [row[1].year for row in capture.rows()] == [2003]


def test_teams_do_not_see_each_other_even_with_one_uuid(capture: Capture, configured: str) -> None:
    other = "phc_other_token"
    assert CliRunner().invoke(cli, ["capture-token", "add", "other", "--token", other]).exit_code == 0
    for token, data in ((TOKEN, b"ours"), (other, b"theirs")):
        body = build_body(event_part(), blob("$ai_input", data))
        assert capture.post(body, Authorization=f"Bearer {token}").status_code == 200
    urls = {row[3]: row[6]["$ai_input"] for row in capture.rows()}
    assert capture.reader().read_part(urls[TEAM]).body == b"ours"
    assert capture.reader(team_of(other)).read_part(urls[team_of(other)]).body == b"theirs"


def test_a_store_that_fails_is_503_and_leaves_nothing(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bool:
        raise StoreUnavailable("the disk is away")

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "put", fail)
        answer = capture.send(*WITH_BLOB)
    assert (answer.status_code, "disk" in answer.text) == (503, False)
    assert not capture.rows() and not capture.ledger() and not list(capture.store.list())
    assert capture.send(*WITH_BLOB).status_code == 200


def test_a_row_that_fails_is_503_and_takes_its_object_back(capture: Capture) -> None:
    query_many = "ALTER TABLE analytics_events ADD CONSTRAINT never CHECK (event_type <> '$ai_generation') NOT VALID"
    with psycopg.connect(capture.url) as connection:
        connection.execute(query_many)
    assert capture.send(*WITH_BLOB).status_code == 503
    assert not capture.rows() and not capture.ledger() and not list(capture.store.list())


def test_a_database_that_is_away_is_503_until_it_is_back(capture: Capture, postgres_server: EmbeddedServer) -> None:
    capture.send(event_part(number=2))
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        name = psycopg.conninfo.conninfo_to_dict(capture.url)["dbname"]
        connection.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false')  # ours
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        try:
            assert capture.send(*WITH_BLOB).status_code == 503
            assert not list(capture.store.list())
        finally:
            connection.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS true')  # ours
    assert capture.send(*WITH_BLOB).status_code == 200


def test_when_every_session_is_busy_the_client_is_told(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hindcast.capture.sessions, "LONGEST_WAIT_SECONDS", 0.05)
    with psycopg.connect(capture.url) as blocker:
        blocker.execute("LOCK TABLE analytics_events")
        statuses: list[int] = []
        bodies = [build_body(event_part(number=n)) for n in range(1, 13)]
        threads = [threading.Thread(target=lambda b=b: statuses.append(capture.post(b).status_code)) for b in bodies]
        for thread in threads:
            thread.start()
        while len(statuses) < 4:
            time.sleep(0.01)
        blocker.rollback()
        for thread in threads:
            thread.join()
    assert sorted(statuses) == [200] * 8 + [503] * 4


@contextlib.contextmanager
def served(home: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`hindcast capture` in a process of its own, as a person runs it, on the port that it names."""
    command = [sys.executable, "-m", "flows.cli", "capture", "--port", "0"]
    environment = os.environ | {"HINDCAST_HOME": str(home), "PYTHONPATH": str(Path(__file__).parent.parent)}
    told = home.with_name(f"{home.name}.log")
    with told.open("wb") as file:
        process = subprocess.Popen(command, env=environment, stderr=file)
    try:
        deadline = time.monotonic() + 30
        while not (found := re.search(r"POST (http://127\.0\.0\.1:[1-9]\d*)/i/v0/ai,", told.read_text())):
            assert time.monotonic() < deadline and process.poll() is None, told.read_text()
            time.sleep(0.05)
        url = found[1]
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"{url}/healthz")
                break
            time.sleep(0.05)
        yield process, url
    finally:
        process.kill()
        process.wait()


def test_on_port_0_the_endpoint_names_the_port_it_serves(configured: str, tmp_path: Path) -> None:
    with served(tmp_path / "home") as (_, url):
        assert httpx.get(f"{url}/healthz").status_code == 200


def test_killed_at_any_moment_no_answered_event_is_lost_and_no_object_is_left_after_the_sweep(
    configured: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HINDCAST_CAPTURE_TOKENS", TOKEN)
    home, accepted = tmp_path / "home", set()
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "multipart/form-data; boundary=edge"}

    def send(url: str) -> None:
        with contextlib.suppress(httpx.TransportError), httpx.Client(base_url=url, headers=headers) as client:
            while True:
                uuid = str(uuid4())
                body = build_body(event_part(uuid=uuid), blob("$ai_input", uuid.encode() * 3_000))
                if client.post("/i/v0/ai", content=body).status_code == 200:
                    accepted.add(uuid)

    for pause in (0.0, 0.013, 0.027):
        wanted = len(accepted) + 20
        with served(home) as (process, url):
            threads = [threading.Thread(target=send, args=(url,)) for _ in range(6)]
            for thread in threads:
                thread.start()
            while len(accepted) < wanted and process.poll() is None:
                time.sleep(0.002)
            time.sleep(pause)
            process.send_signal(signal.SIGKILL)
            for thread in threads:
                thread.join()
    store = LocalStore(home / "objects", "llma")
    with connect(configured, load_settings()) as connection:
        time.sleep(0.1)  # the killed sessions' last transactions
        sweep(connection, store, timedelta(0))
    rows = dict(query(configured, "SELECT source_event_id, payload ->> '$ai_input' FROM analytics_events"))
    assert accepted and accepted <= rows.keys()
    for uuid, url in rows.items():
        assert TeamReader(store, TEAM).read_part(url).body == uuid.encode() * 3_000
    assert len(list(store.list())) == len(rows)


def test_tokens_are_added_listed_and_revoked(configured: str) -> None:
    runner = CliRunner()
    made = runner.invoke(cli, ["capture-token", "add", "web"])
    token = made.stdout.strip()
    assert made.exit_code == 0 and read_token(f"Bearer {token}") == token
    listed = runner.invoke(cli, ["capture-token", "list"]).stdout
    assert f"team {team_of(token)}  web" in listed and token not in listed
    assert query(configured, "SELECT count(*) FROM capture_tokens WHERE token_hash LIKE %s", f"%{token}%") == [(0,)]
    assert "may capture no more" in runner.invoke(cli, ["capture-token", "revoke", "web"]).stdout
    assert runner.invoke(cli, ["capture-token", "revoke", "web"]).exit_code == 2
    refused = runner.invoke(cli, ["capture-token", "add", "x", "--token", "phx_personal"])
    assert (refused.exit_code, "personal key" in refused.stderr) == (2, True)


def test_a_revoked_token_is_refused(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hindcast.capture.tokens.REMEMBERED_SECONDS", 0.0)
    runner = CliRunner()
    token = runner.invoke(cli, ["capture-token", "add", "web"]).stdout.strip()
    send = lambda: capture.post(build_body(event_part()), Authorization=f"Bearer {token}").status_code  # noqa: E731  # twice below
    assert send() == 200
    runner.invoke(cli, ["capture-token", "revoke", "web"])
    assert send() == 401


def test_the_sweep_command_says_what_it_did(configured: str, tmp_path: Path) -> None:
    store = LocalStore(load_settings().home / "objects", "llma")
    store_put = store.put
    from hindcast.objects.content import Content

    store_put("llma/t/left-behind", Content([b"12345"]), "x/y", {})
    for flags, expected in ((["--dry-run"], "would remove"), ([], "removed"), ([], "removed 0 objects")):
        done = CliRunner().invoke(cli, ["objects", "sweep", "--grace", "0", "--unlisted", *flags])
        assert done.exit_code == 0 and expected in done.output, done.output
    assert not list(store.list())


def test_fields_of_an_event_the_format_does_not_know_are_ignored(capture: Capture) -> None:
    assert capture.send(("event", build_extra(), {})).status_code == 200
    assert "extra" not in str(capture.rows())


def build_extra() -> bytes:
    import json

    return json.dumps(make_fields(extra="field")).encode()
