"""Detection names the one format that records are written in, with its evidence, and never guesses between two."""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hindcast.errors import ExportError
from hindcast.formats import FORMATS, detect_format
from hindcast.synthetic import GENERATORS, GenerateSpec, generate

START, END = datetime(2025, 10, 1, tzinfo=UTC), datetime(2025, 10, 3, tzinfo=UTC)


def read_records(name: str, folder: Path) -> list[bytes]:
    export = folder / ("export.json.gz" if name == "amplitude" else "export.jsonl")
    generate(GenerateSpec(name, 60, 3, export, START, END, defects=False))
    content = gzip.decompress(export.read_bytes()) if export.suffix == ".gz" else export.read_bytes()
    return content.splitlines()


@pytest.mark.parametrize("name", sorted(GENERATORS))
def test_generated_records_are_detected_as_their_own_format_and_no_other(name: str, tmp_path: Path) -> None:
    records = read_records(name, tmp_path)
    for some in (records[:1], records[:20], records):
        found, evidence = detect_format(some)
        assert found == name and str(len(some)) in evidence
        assert [other for other, module in FORMATS.items() if module.detect(some)] == [name]


def test_records_of_two_formats_are_refused(tmp_path: Path) -> None:
    halves = [read_records(name, tmp_path)[:10] for name in ("analytics_history", "amplitude")]
    with pytest.raises(ExportError, match="--format"):
        detect_format(halves[0] + halves[1])


@pytest.mark.parametrize("record", [{}, {"a": 1}, {"event_type": "x"}, {"timestamp": "2024-01-01"}, [], 1, "x", None])
def test_what_fits_nothing_is_told(record: object) -> None:
    with pytest.raises(ExportError, match="fit no format"):
        detect_format([json.dumps(record).encode()] * 3)
