"""Delivering an export to an HTTP API: each record once, through every kind of trouble."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from ingestion_api import Api

from flows.cli import cli

ROOT = Path(__file__).parent.parent


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Api]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HINDCAST_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HINDCAST_DELIVER_API_KEY", raising=False)
    stand_in = Api()
    yield stand_in
    stand_in.stop()


def write_events(path: Path, count: int) -> list[str]:
    names = [f"evt_{number}" for number in range(count)]
    lines = [json.dumps({"event_id": name, "text": "é"}, ensure_ascii=False) for name in names]
    text = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return names


def call(api: Api, file: str, *arguments: str) -> Any:
    return CliRunner().invoke(cli, ["deliver", "-f", file, "--to", api.url, *arguments])


def report(result: Any) -> dict[str, Any]:
    return dict(json.loads(result.stdout))


@pytest.mark.parametrize("batch", ["1", "7", "1000"])
@pytest.mark.parametrize("name", ["events.jsonl", "events.jsonl.gz"])
def test_every_record_arrives_once(api: Api, name: str, batch: str) -> None:
    names = write_events(Path(name), 60)
    result = call(api, name, "--json", "--batch-size", batch)
    assert result.exit_code == 0, result.output
    assert api.accepted == dict.fromkeys(names, 1)
    facts = report(result)
    assert (facts["records"], facts["delivered"], facts["failed"]) == (60, 60, 0)
    assert facts["requests"] == -(-60 // int(batch)) and set(facts["latency_ms"]) == {"p50", "p90", "p95", "p99", "max"}


def test_an_array_is_delivered_element_by_element(api: Api) -> None:
    Path("events.json").write_text(json.dumps([{"event_id": f"evt_{number}"} for number in range(5)]))
    assert call(api, "events.json").exit_code == 0
    assert len(api.accepted) == 5


def test_a_server_in_trouble_gets_every_record_once(api: Api) -> None:
    names = write_events(Path("events.jsonl"), 200)
    api.faults, api.retry_after = 0.2, "0.01"
    facts = report(call(api, "events.jsonl", "--json", "--concurrency", "8", "--retries", "30"))
    assert set(api.accepted) == set(names)
    assert (facts["delivered"] + facts["already_there"], facts["failed"]) == (200, 0)
    assert facts["retries"] > 0 and {"500", "503", "429"} <= facts["answers"].keys()


def test_what_is_there_already_is_no_failure(api: Api) -> None:
    write_events(Path("events.jsonl"), 10)
    assert call(api, "events.jsonl").exit_code == 0
    facts = report(call(api, "events.jsonl", "--json", "--again"))
    assert (facts["delivered"], facts["already_there"], facts["answers"]) == (0, 10, {"200": 10})


def test_what_was_acknowledged_is_not_sent_again(api: Api) -> None:
    write_events(Path("events.jsonl"), 10)
    assert call(api, "events.jsonl", "--limit", "4").exit_code == 0
    facts = report(call(api, "events.jsonl", "--json"))
    assert (facts["delivered"], facts["acknowledged_before"], len(api.requests)) == (6, 4, 10)


def test_a_record_that_is_refused_is_kept_with_its_reason_and_can_be_delivered_again(api: Api) -> None:
    write_events(Path("events.jsonl"), 20)
    api.refused = {"evt_3", "evt_11"}
    result = call(api, "events.jsonl", "--batch-size", "8", "--failed", "bad.jsonl", "--json")
    assert result.exit_code == 1
    assert (report(result)["delivered"], report(result)["failed"], len(api.accepted)) == (18, 2, 18)
    kept = Path("bad.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["event_id"] for line in kept} == api.refused and '"text": "é"' in kept[0]
    reasons = [json.loads(line) for line in Path("bad.jsonl.reasons.jsonl").read_text().splitlines()]
    assert {(row["line"], row["reason"].split(":")[0]) for row in reasons} == {(4, "422"), (12, "422")}
    api.refused = set()
    assert call(api, "bad.jsonl").exit_code == 0
    assert len(api.accepted) == 20


def test_retry_after_holds_everybody(api: Api) -> None:
    write_events(Path("events.jsonl"), 40)
    api.script.append(429)
    api.retry_after = "1"
    assert call(api, "events.jsonl", "--concurrency", "4").exit_code == 0
    later = [at - api.requests[0] for at in api.requests if at - api.requests[0] > 0.5]
    assert len(later) > 1 and min(later) >= 1  # the record that was told to wait, and others with it


def test_a_slow_answer_is_tried_again_and_found_to_be_there(api: Api) -> None:
    write_events(Path("events.jsonl"), 3)
    api.script.append(("wait", 0.2))
    facts = report(call(api, "events.jsonl", "--json", "--timeout", "0.1", "--sequential"))
    assert facts["answers"]["timeout"] == 1
    assert facts["delivered"] + facts["already_there"] == 3


def test_sequential_keeps_the_order_and_a_rate_is_kept(api: Api) -> None:
    names = write_events(Path("events.jsonl"), 15)
    assert call(api, "events.jsonl", "--sequential").exit_code == 0
    assert api.order == names
    began = time.monotonic()
    call(api, "events.jsonl", "--again", "--rate", "50", "--concurrency", "5")
    assert time.monotonic() - began >= 14 / 50


def test_the_key_is_sent_and_shown_nowhere(api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HINDCAST_DELIVER_API_KEY", "a-secret-key")
    write_events(Path("events.jsonl"), 2)
    result = call(api, "events.jsonl", "--header", "X-Tenant=t1")
    assert {(h["X-API-Key"], h["X-Tenant"]) for h in api.headers} == {("a-secret-key", "t1")}
    api.script.extend([401, 401])
    refused = call(api, "events.jsonl", "--again")
    assert refused.exit_code == 1 and "check the address and the key" in refused.stderr
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert b"a-secret-key" not in b"".join([*files, (result.output + refused.output).encode()])


def test_a_server_that_is_gone_ends_the_delivery_with_what_to_do(api: Api) -> None:
    write_events(Path("events.jsonl"), 100)
    api.faults = 1.0
    api.random.choice = lambda answers: 503  # type: ignore[method-assign,assignment]
    result = call(api, "events.jsonl", "--retries", "0", "--concurrency", "2")
    assert result.exit_code == 1
    assert "requests in a row were given up" in result.stderr and "run the same command to go on" in result.stderr


def test_the_journal_of_another_delivery_is_refused(api: Api) -> None:
    write_events(Path("events.jsonl"), 2)
    write_events(Path("others.jsonl"), 3)
    assert call(api, "events.jsonl", "--journal", "j").exit_code == 0
    result = call(api, "others.jsonl", "--journal", "j")
    assert result.exit_code == 2 and "the journal of another export or address" in result.stderr


def test_killed_in_the_middle_and_run_again_each_arrives(api: Api) -> None:
    names = write_events(Path("events.jsonl"), 400)
    command = [
        sys.executable,
        "-m",
        "flows.cli",
        "deliver",
        "-f",
        "events.jsonl",
        "--to",
        api.url,
        "--concurrency",
        "5",
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    sender = subprocess.Popen([*command, "--rate", "300"], env=environment, stderr=subprocess.DEVNULL)
    while len(api.accepted) < 100:
        time.sleep(0.01)
    os.kill(sender.pid, signal.SIGKILL)
    sender.wait()
    before = len(api.accepted)
    facts = report(call(api, "events.jsonl", "--json"))
    assert set(api.accepted) == set(names) and before < 400
    assert sum(api.accepted.values()) <= 400 + 5  # only what was under way is sent twice
    assert facts["acknowledged_before"] + facts["delivered"] + facts["already_there"] == 400


def test_wrong_usage_is_told(api: Api) -> None:
    write_events(Path("events.jsonl"), 1)
    assert "expected http:// or https://" in CliRunner().invoke(cli, ["deliver", "-f", "x", "--to", "ftp://x"]).stderr
    assert "expected NAME=VALUE" in call(api, "events.jsonl", "--header", "X").stderr
    assert "no such file or folder" in call(api, "nothing.jsonl").stderr
