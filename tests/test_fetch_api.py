"""One request to the Export API, whatever the server does to it."""

import io
import time
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from export_stand_in import KEY, SECRET, Fault, body, cut_short, make_zip, status, truncated
from fetching import DAY, Fetcher

from hindcast.errors import ConfigurationError, ExportError
from hindcast.fetch_api import URLS, Patience, TooLarge
from hindcast.fetch_hours import Piece
from hindcast.retry_after import read_retry_after

pytest_plugins = ["fetching_fixtures"]
PIECE = Piece(DAY + timedelta(hours=5))
HOUR = "20240131T05"


def empty_zip() -> bytes:
    data = io.BytesIO()
    zipfile.ZipFile(data, "w").close()
    return data.getvalue()


def damaged_zip() -> bytes:
    data = bytearray(make_zip([DAY]))
    data[len(data) // 2 - 40] ^= 0xFF
    return bytes(data)


SHORT = Patience(attempts=4, read_timeout=0.3)


def hang(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    time.sleep(SHORT.read_timeout + 0.2)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (status(429), "HTTP 429"),
        (status(500), "HTTP 500"),
        (status(503, "busy"), "HTTP 503: 'busy'"),
        (truncated, "the connection failed"),
        (cut_short, "not a whole zip"),
        (body(b""), "an empty body"),
        (body(b"<html>sorry</html>"), "not a whole zip"),
        (body(damaged_zip()), "CRC"),
        (hang, "no answer in time"),
    ],
    ids=["429", "500", "503", "truncated", "cut short", "empty body", "no zip", "damaged zip", "timeout"],
)
def test_a_fault_of_the_moment_is_tried_again(fetcher: Fetcher, tmp_path: Path, fault: Fault, told: str) -> None:
    fetcher.stand_in.fail(HOUR, fault, fault)
    if fault is hang:
        fetcher.patience = SHORT
    with fetcher.api() as api:
        download = api.download(PIECE, tmp_path / "part")
    assert download and download.size_bytes == (tmp_path / "part").stat().st_size
    assert zipfile.ZipFile(tmp_path / "part").testzip() is None
    assert (api.requests, api.retries, len(fetcher.waits)) == (3, 2, 2)
    assert all(told in notice for notice in fetcher.notices)


def test_waits_grow_and_are_jittered(fetcher: Fetcher, tmp_path: Path) -> None:
    waits = []
    for _ in range(20):
        fetcher.stand_in.fail(HOUR, status(500), status(500), status(500))
        fetcher.waits.clear()
        with fetcher.api() as api:
            api.download(PIECE, tmp_path / "part")
        waits.append(tuple(fetcher.waits))
    for number, most in enumerate((2, 4, 8)):
        column = [wait[number] for wait in waits]
        assert len(set(column)) > 10 and min(column) >= 0 and most / 2 < max(column) <= most


@pytest.mark.parametrize(
    "make_header",
    [lambda: "30", lambda: format_datetime(datetime.now(UTC) + timedelta(seconds=31), usegmt=True)],
    ids=["seconds", "date"],
)
def test_retry_after_is_honoured(fetcher: Fetcher, tmp_path: Path, make_header: Callable[[], str]) -> None:
    fetcher.stand_in.fail(HOUR, status(429, Retry_After=make_header()))
    with fetcher.api() as api:
        api.download(PIECE, tmp_path / "part")
    assert 29 <= fetcher.waits[0] <= 33


def test_a_wait_of_hours_is_left_to_the_operator(fetcher: Fetcher, tmp_path: Path) -> None:
    fetcher.stand_in.fail(HOUR, status(429, Retry_After="86400"))
    with fetcher.api() as api, pytest.raises(ExportError, match="try again in 86,400 s"):
        api.download(PIECE, tmp_path / "part")
    assert not fetcher.waits


@pytest.mark.parametrize("text", [None, "", "soon", "-5", "1.5.5", "9" * 400])
def test_a_retry_after_that_says_nothing_is_ignored(text: str | None) -> None:
    assert read_retry_after(text, DAY) is None


def test_a_retry_after_in_the_past_is_no_wait() -> None:
    assert read_retry_after("Wed, 31 Jan 2024 00:00:00 GMT", DAY + timedelta(days=1)) == 0


def test_patience_ends_and_says_the_hour_and_the_fault(fetcher: Fetcher, tmp_path: Path) -> None:
    fetcher.stand_in.fail(HOUR, *[status(502)] * 4)
    with fetcher.api() as api, pytest.raises(ExportError, match=r"hours 2024-01-31T05: HTTP 502, at the last of 4"):
        api.download(PIECE, tmp_path / "part")


def test_a_server_that_is_not_there_is_told(fetcher: Fetcher, tmp_path: Path) -> None:
    with (
        fetcher.api(amplitude_export_url="http://127.0.0.1:1/export") as api,
        pytest.raises(ExportError, match="the connection failed"),
    ):
        api.download(PIECE, tmp_path / "part")


@pytest.mark.parametrize("answer", [status(404, "Raw data files were not found."), body(empty_zip())])
def test_nothing_is_nothing(fetcher: Fetcher, tmp_path: Path, answer: Fault) -> None:
    fetcher.stand_in.fail(HOUR, answer)
    with fetcher.api() as api:
        assert api.download(PIECE, tmp_path / "part") is None
    assert api.retries == 0


def test_400_is_too_large_and_not_tried_again(fetcher: Fetcher, tmp_path: Path) -> None:
    fetcher.stand_in.fail(HOUR, status(400, "too large"))
    with fetcher.api() as api, pytest.raises(TooLarge, match="over 4 GB"):
        api.download(PIECE, tmp_path / "part")
    assert len(fetcher.asked()) == 1


def test_a_redirect_is_not_followed_with_the_keys(fetcher: Fetcher, tmp_path: Path) -> None:
    fetcher.stand_in.fail(HOUR, status(302, Location="http://127.0.0.1:1/"))
    with fetcher.api() as api, pytest.raises(ExportError, match="HTTP 302"):
        api.download(PIECE, tmp_path / "part")


def test_refused_keys_are_a_matter_of_configuration_and_never_shown(fetcher: Fetcher, tmp_path: Path) -> None:
    # The stand-in says the header back, as a careless proxy might.
    with fetcher.api(amplitude_secret_key="wrong-one") as api, pytest.raises(ConfigurationError) as caught:
        api.download(PIECE, tmp_path / "part")
    assert "HTTP 403: 'Invalid credentials: Basic ***'" in str(caught.value)
    assert "wrong-one" not in repr(caught.value) + repr(vars(api)["_patience"])


@pytest.mark.parametrize("echo", [KEY, SECRET])
def test_a_server_that_says_a_key_back_does_not_make_us_say_it(fetcher: Fetcher, tmp_path: Path, echo: str) -> None:
    fetcher.stand_in.fail(HOUR, *[status(500, f"bad key {echo}")] * 4)
    with fetcher.api() as api, pytest.raises(ExportError) as caught:
        api.download(PIECE, tmp_path / "part")
    assert "bad key ***" in str(caught.value) and echo not in "".join(fetcher.notices)


@pytest.mark.parametrize(
    "url", ["http://example.com/export", "ftp://example.com", "nothing", "https://key:secret@example.com/export"]
)
def test_an_address_that_would_send_the_keys_unprotected_is_refused(fetcher: Fetcher, url: str) -> None:
    with pytest.raises(ConfigurationError, match="HINDCAST_AMPLITUDE_EXPORT_URL") as caught:
        fetcher.api(amplitude_export_url=url)
    assert "secret@" not in str(caught.value)


@pytest.mark.parametrize("name", ["amplitude_api_key", "amplitude_secret_key"])
def test_both_keys_are_needed(fetcher: Fetcher, name: str) -> None:
    with pytest.raises(ConfigurationError, match="both are needed"):
        fetcher.api(**{name: ""})


def test_each_cluster_has_its_own_address() -> None:
    assert URLS == {
        "us": "https://amplitude.com/api/2/export",
        "eu": "https://analytics.eu.amplitude.com/api/2/export",
    }
