"""Generated exports of LLM analytics: the same bytes, the answers an import gives, sizes as asked."""

import json
from pathlib import Path

from click.testing import CliRunner
from loading import stage

from flows.cli_generate import generate
from hindcast.synthetic import GenerateSpec
from hindcast.synthetic.llm_analytics import LargeValues, values_path, write_llm

pytest_plugins = ["loading_fixtures"]


def make(path: Path, **fields: int) -> GenerateSpec:
    return GenerateSpec("llm_analytics", fields.get("count", 700), fields.get("seed", 5), path)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second, other = (make(tmp_path / name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    for spec in (first, second, other):
        write_llm(spec, LargeValues(0, 2, 500, 6_000))
    assert first.out.read_bytes() == second.out.read_bytes() != other.out.read_bytes()
    assert values_path(first.out).read_bytes() == values_path(second.out).read_bytes()


def test_staging_finds_what_the_answers_say(target: str, tmp_path: Path) -> None:
    spec = make(tmp_path / "export.jsonl")
    answers = write_llm(spec, LargeValues(0, 2, 500, 6_000))
    _, _, manifest = stage(spec.out)
    totals = manifest.totals
    for name in ("lines", "staged", "duplicate", "conflict", "rejected", "sanitised", "naive_times", "skipped"):
        assert getattr(totals, name) == getattr(answers, name), name
    assert totals.rejects == answers.rejects_by_reason
    assert manifest.months == [(month.month, month.event_type, month.export) for month in answers.months]
    assert set(answers.planted) == {
        "duplicate", "other_value", "bad_uuid", "no_model", "cut_off", "unknown_event", "bad_time", "nul", "naive_time",
    }  # fmt: skip


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
