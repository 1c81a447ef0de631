"""The generator of Amplitude exports, and sending its events with Amplitude's own client."""

import json
import threading
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from flows.cli import cli
from hindcast.errors import ConfigurationError
from hindcast.synthetic import GenerateSpec, generate
from hindcast.synthetic.amplitude_scenarios import scenario_events
from hindcast.synthetic.amplitude_set import count_pairs

START = datetime(2025, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize("span", [timedelta(seconds=1), timedelta(hours=3), timedelta(days=1), timedelta(days=30)])
@pytest.mark.parametrize("name", ["documented", "original"])
def test_times_strictly_increase_within_the_window(name: str, span: timedelta) -> None:
    events = scenario_events(name, START, START + span, with_blank_ids=True)
    assert all(one.at < other.at for one, other in pairwise(events))
    assert events[0].at >= START and events[-1].at < START + span


def test_a_day_has_the_minutes_that_are_documented() -> None:
    events = scenario_events("documented", START, START + timedelta(days=1))
    frank = [event.at for event in events if event.user_id == "duplicate_user_frank"]
    alex = [event.at for event in events if event.user_id == "journey_user_alex"]
    assert [(at - frank[0]) // timedelta(minutes=1) for at in frank] == [0, 5, 10]
    assert [(at - alex[0]) // timedelta(minutes=1) for at in alex] == [0, 120, 240, 300, 600, 720]


@pytest.mark.parametrize(
    ("name", "scenarios", "pairs"),
    [
        ("documented", {1: 5, 2: 9, 3: 4, 4: 4, 5: 8, 6: 9, 7: 6}, 30),
        ("original", {1: 5, 2: 9, 3: 4, 4: 4, 5: 8, 6: 12, 7: 6}, 33),
    ],
)
def test_scenarios_have_their_events_and_pairs(name: str, scenarios: dict[int, int], pairs: int) -> None:
    events = scenario_events(name, START, START + timedelta(days=1))
    assert {n: sum(event.scenario == n for event in events) for n in range(1, 8)} == scenarios
    assert count_pairs(events) == pairs


def test_a_window_too_short_and_a_set_there_is_none_of_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least a second"):
        scenario_events("documented", START, START + timedelta(milliseconds=10))
    with pytest.raises(ConfigurationError, match="expected documented or original"):
        scenario_events("other", START, START + timedelta(days=1))


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.zip", "b.zip")]
    for path in paths:
        generate(GenerateSpec("amplitude", 500, 9, path, START, START + timedelta(days=1)))
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_members_are_named_by_hour_and_half_of_them_end_without_a_newline(tmp_path: Path) -> None:
    generate(GenerateSpec("amplitude", 500, 9, tmp_path / "a.zip", START, START + timedelta(hours=4)))
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist()[:2] == [
            "366676/366676_2025-01-31_0#0.json.gz",
            "366676/366676_2025-01-31_1#0.json.gz",
        ]


def test_a_folder_holds_what_a_zip_holds(tmp_path: Path) -> None:
    for name in ("a.zip", "folder"):
        answers = generate(GenerateSpec("amplitude", 500, 9, tmp_path / name, START, START + timedelta(hours=4)))
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    folder = tmp_path / "folder"
    assert {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.gz")} == members
    assert [(file.name, file.size_bytes) for file in answers.files] == [(n, len(data)) for n, data in members.items()]
    assert sum(file.records for file in answers.files) == 500


def test_a_folder_that_holds_something_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "precious").write_text("mine")
    with pytest.raises(ConfigurationError, match="expected a new or empty folder"):
        generate(GenerateSpec("amplitude", 5, 9, tmp_path / "folder", START, START + timedelta(hours=4)))
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "precious"]


class Amplitude(ThreadingHTTPServer):
    """A stand-in for the HTTP API: keeps what it is sent, and answers as it is told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.events: dict[str, dict[str, Any]] = {}
        self.keys: set[str] = set()
        self.answers: list[int] = []


class Handler(BaseHTTPRequestHandler):
    server: Amplitude

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        code = self.server.answers.pop(0) if self.server.answers else 200
        self.server.keys.add(body["api_key"])
        if code == 200:
            self.server.events |= {event["insert_id"]: event for event in body["events"]}
        answer = json.dumps({"code": code, "error": "refused" if code != 200 else None}).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Amplitude]:
    stand_in = Amplitude()
    thread = threading.Thread(target=stand_in.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AMPLITUDE_API_KEY", "the-key-that-is-secret")
    monkeypatch.setenv("HINDCAST_AMPLITUDE_SERVER_URL", f"http://127.0.0.1:{stand_in.server_port}/2/httpapi")
    yield stand_in
    stand_in.shutdown()
    thread.join()
    stand_in.server_close()


def call(*arguments: str) -> Any:
    return CliRunner().invoke(cli, ["generate", "amplitude", *arguments])


def test_a_set_is_sent_whole_and_the_key_is_in_no_file(server: Amplitude, tmp_path: Path) -> None:
    result = call("--send", "--out", "set.zip", "--start", "2025-01-31", "--end", "2025-02-01")
    assert result.exit_code == 0, result.output
    assert "Amplitude (us): 45 of 45 events sent" in result.stdout
    assert len(server.events) == 45 and server.keys == {"the-key-that-is-secret"}
    assert all(b"the-key-that-is-secret" not in path.read_bytes() for path in tmp_path.iterdir())
    padded = next(event for event in server.events.values() if "padded" in str(event["user_id"]))
    assert padded["user_id"] == "  edge_padded_user  "


def test_a_server_that_is_in_trouble_for_a_while_gets_every_event(server: Amplitude) -> None:
    server.answers = [500, 503]
    assert call("--send").exit_code == 0
    assert len(server.events) == 45


def test_another_server_can_be_named_on_the_command_line(server: Amplitude, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HINDCAST_AMPLITUDE_SERVER_URL")
    assert call("--send", "--server-url", f"http://127.0.0.1:{server.server_port}/2/httpapi").exit_code == 0
    assert len(server.events) == 45


def test_what_is_refused_is_told_without_the_key(server: Amplitude) -> None:
    server.answers = [400] * 200
    result = call("--send")
    assert result.exit_code == 1
    assert "of 45 events were not accepted" in result.stderr
    assert "the-key-that-is-secret" not in result.output


def test_wrong_usage_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AMPLITUDE_API_KEY", raising=False)
    assert "--out or --send" in call().stderr
    assert "AMPLITUDE_API_KEY: not set" in call("--send").stderr
    assert "not before --end" in call("--out", "x.zip", "--start", "2025-02-01", "--end", "2025-01-01").stderr
    assert "expected a name that ends in .zip or .json.gz" in call("--out", "x.txt").stderr
    assert not list(tmp_path.iterdir())
