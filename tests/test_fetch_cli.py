"""`hindcast fetch amplitude` as a person runs it: killed, interrupted, misconfigured, and followed by a backfill."""

import json
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from export_stand_in import KEY, SECRET, status
from fetching import FOLDER, Fetcher
from loading import query

from flows.cli import cli

pytest_plugins = ["fetching_fixtures", "flow_fixtures", "loading_fixtures"]
DAY = ("fetch", "amplitude", "--start", "2024-01-31", "--end", "2024-02-01")


@pytest.fixture(autouse=True)
def environment(fetcher: Fetcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    set_variables(fetcher, monkeypatch)


def set_variables(fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "AMPLITUDE_API_KEY": KEY,
        "AMPLITUDE_SECRET_KEY": SECRET,
        "HINDCAST_AMPLITUDE_EXPORT_URL": fetcher.stand_in.url,
        "HINDCAST_INBOX": str(fetcher.inbox),
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def test_a_fetch_tells_what_it_did(fetcher: Fetcher) -> None:
    done = call(*DAY, "--hours-per-request", "12")
    assert done.exit_code == 0 and "fetching hours: done" in done.stderr
    assert "24 hours: 24 downloaded (2 files, " in done.stdout
    assert "delivered: 2024-01-31" in done.stdout.splitlines()


def test_json_is_alone_on_stdout(fetcher: Fetcher) -> None:
    fetcher.stand_in.fail("20240131T05", status(429, Retry_After="0"))
    done = call(*DAY, "--json")
    summary = json.loads(done.stdout)
    assert (summary["hours_downloaded"], summary["requests"], summary["retries"]) == (24, 25, 1)
    assert done.stderr.startswith("hindcast: HTTP 429; attempt 2 in ")


def test_an_hour_that_cannot_be_had_ends_with_1(fetcher: Fetcher) -> None:
    fetcher.stand_in.fail("20240131T05", status(400))
    done = call(*DAY)
    assert done.exit_code == 1 and "waiting: 2024-01-31, 23 of 24 hours are certain" in done.stdout
    assert done.stderr.splitlines()[-1].startswith("hindcast: hours 2024-01-31T05: Amplitude refuses the range")


@pytest.mark.parametrize(
    ("arguments", "environment_of", "told"),
    [
        (("--end", "2024-01-31"), {}, "not before --end"),
        (("--start", "yesterdayish"), {}, "expected now, N minutes"),
        (("--inbox", "s3://bucket/x"), {}, "needs a folder"),
        ((), {"AMPLITUDE_SECRET_KEY": ""}, "both are needed"),
        ((), {"AMPLITUDE_SECRET_KEY": "wrong-one"}, "HTTP 403"),
        ((), {"HINDCAST_INBOX": ""}, "HINDCAST_INBOX"),
        ((), {"HINDCAST_AMPLITUDE_EXPORT_URL": "http://example.com"}, "expected https"),
    ],
)
def test_wrong_usage_ends_with_2_and_shows_no_key(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], environment_of: dict[str, str], told: str
) -> None:
    for name, value in environment_of.items():
        monkeypatch.setenv(name, value)
    done = call(*DAY, *arguments, "--verbose")
    assert done.exit_code == 2 and told in done.stderr.splitlines()[-1]
    assert not [key for key in (KEY, SECRET, "wrong-one") if key in done.output]


@pytest.mark.parametrize(
    ("how", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)], ids=["kill", "interrupt"]
)
def test_a_fetch_that_dies_in_mid_download_goes_on(fetcher: Fetcher, how: signal.Signals, code: int) -> None:
    is_half, may_end = threading.Event(), threading.Event()

    def send_half_and_wait(handler: BaseHTTPRequestHandler, data: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[:100])
        is_half.set()
        may_end.wait(30)
        handler.close_connection = True

    fetcher.stand_in.fail("20240131T05", send_half_and_wait)
    command = [sys.executable, "-m", "flows.cli", *DAY]
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | paths
    ) as process:
        try:
            assert is_half.wait(30)
            process.send_signal(how)
            assert process.wait(30) == code
        finally:
            may_end.set()
            process.kill()
    assert len(fetcher.files()) == 5 and not (fetcher.inbox / FOLDER).exists()
    before = fetcher.files()
    fetcher.asked()
    assert call(*DAY).exit_code == 0
    assert fetcher.asked() == [f"20240131T{hour:02}" for hour in range(5, 24)]
    after = fetcher.files()
    assert len(after) == 24 and set(before.values()) <= set(after.values())
    assert not list(fetcher.inbox.rglob("*.part"))


@pytest.mark.flow
def test_a_fetched_day_is_an_export_that_imports(
    fetcher: Fetcher, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_variables(fetcher, monkeypatch)  # the database's fixture takes all of Hindcast's away
    done = call(*DAY)
    assert done.exit_code == 0, done.stderr
    done = call("backfill", "-f", str(fetcher.inbox / FOLDER), "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["format"] == "amplitude"
    counts = query(database, "SELECT event_type, count(*) FROM analytics_events GROUP BY 1 ORDER BY 1")
    assert counts == [("$identify", 1), ("ordered", 24)]
