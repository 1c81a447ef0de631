"""Generated exports of LLM analytics: the same bytes, the answers an import gives, sizes as asked."""

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from capturing import TEAM, Capture
from click.testing import CliRunner
from loading import load, query, stage

from flows.cli_generate import generate
from hindcast.records import Progress, RawRecord
from hindcast.request_records import iter_requests, split_head
from hindcast.synthetic import GenerateSpec
from hindcast.synthetic.llm_analytics import values_path, write_llm
from hindcast.synthetic.llm_records import LargeValues

pytest_plugins = ["loading_fixtures", "capture_fixtures"]
ODD = {"duplicate", "other_value", "bad_uuid", "no_model", "cut_off", "unknown_event", "bad_time", "nul", "naive_time"}
ODD_REQUESTS = {"dated", "other_path", "image_part", "no_token"}


def make(path: Path, **fields: int) -> GenerateSpec:
    return GenerateSpec("llm_analytics", fields.get("count", 700), fields.get("seed", 5), path)


@pytest.mark.parametrize("ending", [".jsonl", ".http", ".http.gz"])
def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, ending: str) -> None:
    named = (("a", 1), ("b", 1), ("c", 2))
    first, second, other = (make(tmp_path / f"{name}{ending}", seed=seed) for name, seed in named)
    for spec in (first, second, other):
        write_llm(spec, LargeValues(0, 2, 500, 6_000))
    assert first.out.read_bytes() == second.out.read_bytes() != other.out.read_bytes()
    assert values_path(first.out).read_bytes() == values_path(second.out).read_bytes()


@pytest.mark.parametrize(
    ("name", "odd"),
    [("export.jsonl", ODD), ("export.http", ODD | ODD_REQUESTS), ("export.http.zst", ODD | ODD_REQUESTS)],
)
def test_staging_finds_what_the_answers_say(target: str, tmp_path: Path, name: str, odd: set[str]) -> None:
    spec = make(tmp_path / name, count=900)
    answers = write_llm(spec, LargeValues(0, 2, 500, 6_000))
    _, _, manifest = stage(spec.out)
    totals = manifest.totals
    for figure in ("lines", "staged", "duplicate", "conflict", "rejected", "sanitised", "naive_times", "skipped"):
        assert getattr(totals, figure) == getattr(answers, figure), figure
    assert totals.rejects == answers.rejects_by_reason
    assert manifest.months == [(month.month, month.event_type, month.export) for month in answers.months]
    assert totals.first_at and totals.first_at.isoformat() == answers.first_at
    assert totals.last_at and totals.last_at.isoformat() == answers.last_at
    assert set(answers.planted) == odd


def test_values_have_the_sizes_asked_for_and_all_content_types(tmp_path: Path) -> None:
    out = tmp_path / "export.jsonl"
    options = ["--count", "40", "--blobs", "2", "4", "--blob-bytes", "1000", "20000", "--out", str(out)]
    result = CliRunner().invoke(generate, ["llm_analytics", *options])
    assert result.exit_code == 0, result.output
    sizes = [json.loads(line)["size_bytes"] for line in values_path(out).read_text().splitlines()]
    assert min(sizes) > 900
    assert 15_000 < max(sizes) < 21_000
    text = out.read_text()
    assert all(sign in text for sign in ("data:application/octet-stream;base64,", '"Grüße', '[{"role":"user"'))


def test_values_of_generated_requests_are_read_back_as_the_key_has_them(
    capture: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HINDCAST_HOME", str(tmp_path))  # the import uses the store of the endpoint
    spec = make(tmp_path / "export.http.gz", count=150)
    write_llm(spec, LargeValues(0, 4, 500, 20_000))
    begun = load(capture.url, spec.out)
    assert begun.failed_checks() == set()
    stored = dict(query(capture.url, "SELECT source_event_id, payload FROM analytics_events"))
    facts = [json.loads(line) for line in values_path(spec.out).read_text().splitlines()]
    encodings, kinds = set(), set()
    for fact in facts:
        part = capture.reader().read_part(stored[fact["uuid"]][fact["property"]])
        data = part.body
        encodings.add(part.headers.get("content-encoding"))
        kinds.add(part.headers["content-type"])
        if part.headers.get("content-encoding") == "gzip":
            data = gzip.decompress(data)
        assert (len(data), hashlib.sha256(data).hexdigest()) == (fact["size_bytes"], fact["sha256"])
    assert len(facts) > 100 and encodings == {None, "gzip"}
    assert kinds == {"text/plain", "application/json", "application/octet-stream"}


def test_generated_requests_are_what_the_endpoint_takes_and_refuses(
    capture: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HINDCAST_HOME", str(tmp_path))
    spec = make(tmp_path / "export.http", count=67 * 7)
    answers = write_llm(spec, LargeValues(0, 2, 500, 6_000))
    sent = Counter(_replay(capture, raw.raw) for raw in _requests(spec.out))
    assert sent == {200: answers.loaded + answers.duplicate, 409: 1, 400: answers.rejected}
    begun = load(capture.url, spec.out)
    counts = begun.counts()
    assert (counts.loaded, counts.duplicate) == (0, answers.loaded + answers.duplicate)
    assert {row[0] for row in query(capture.url, "SELECT tenant FROM analytics_events")} == {TEAM}


def test_requests_have_the_events_of_the_lines(tmp_path: Path) -> None:
    lines, requests = (
        GenerateSpec("llm_analytics", 200, 5, tmp_path / n, defects=False) for n in ("a.jsonl", "a.http")
    )
    keys = [write_llm(spec, LargeValues(0, 3, 500, 6_000)) for spec in (lines, requests)]
    assert keys[0].months == keys[1].months
    assert values_path(lines.out).read_bytes() == values_path(requests.out).read_bytes()
    heads = [record.raw.partition(b"\r\n\r\n")[0] for record in _requests(requests.out)]
    assert all(b"\r\nContent-Length: " in head and b"\r\nDate: " in head for head in heads)
    assert 0 < sum(b"Content-Encoding: gzip" in head for head in heads) < len(heads)


def _requests(path: Path) -> Iterator[RawRecord]:
    with path.open("rb") as file:
        yield from iter_requests(file, 1 << 25, Progress())


def _replay(capture: Capture, raw: bytes) -> int:
    line, headers, body = split_head(raw)
    method, path, _ = line.decode().split(" ")
    kept = {name: headers[name] for name in ("Authorization", "Content-Type", "Content-Encoding") if headers[name]}
    return capture.client.request(method, path, content=body, headers=kept).status_code
