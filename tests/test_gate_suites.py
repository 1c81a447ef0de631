"""A suite that would check less than it says is refused, with file and place."""

from pathlib import Path
from typing import Any

import pytest
from gate_inputs import BOUNDS, events, not_null, write_suite

from expectations.gate import run_frame_gate
from expectations.suite import SHIPPED_DIRECTORY, load_suite
from hindcast.errors import ConfigurationError


@pytest.mark.parametrize(
    ("expectations", "fields", "place"),
    [
        ([], {}, r"\$\.expectations: empty"),
        ([not_null(meta={})], {}, r"expectations\[0\]\.meta\.rule"),
        ([not_null(), not_null()], {}, r"expectations\[1\]\.meta\.rule: 'MY-1' is used twice"),
        ([not_null(meta={"rule": "hindcast.rows"})], {}, "the gate's own"),
        ([not_null(severity="fatal")], {}, r"'fatal' - at `\$\.expectations\[0\]\.severity`"),
        ([not_null(severty="warning")], {}, r"unknown field `severty`"),
        ([not_null(kwargs={"column": {"$PARAMETER": "nope"}})], {}, r"kwargs\.column: no value .*'nope'"),
        ([not_null(kwargs={"column": "a", "result_format": "COMPLETE"})], {}, "set by the gate"),
        ([not_null()], {"name": "other"}, "expected 'mine'"),
    ],
)
def test_faulty_suite_is_refused_with_file_and_place(
    tmp_path: Path, expectations: list[dict[str, Any]], fields: dict[str, Any], place: str
) -> None:
    directory = write_suite(tmp_path, *expectations, **fields)
    with pytest.raises(ConfigurationError, match=rf"mine\.json.*{place}"):
        load_suite("mine", {}, directory)


@pytest.mark.parametrize("text", ["{", '{"name": NaN}', '{"name": "mine", "name": "mine"}', "[" * 10_000, "3"])
def test_file_that_is_no_suite_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.json").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"mine\.json"):
        load_suite("mine", {}, tmp_path)


def test_parameter_without_value_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no value for \\$PARAMETER 'window_start'"):
        load_suite("analytics_history", BOUNDS | {"window_start": None}, None)


def test_suite_missing_from_own_directory_is_not_taken_from_the_shipped_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"analytics_history\.json: no such suite"):
        run_frame_gate("analytics_history", events(), BOUNDS, tmp_path)


@pytest.mark.parametrize(
    "expectation",
    [
        not_null(type="expect_column_values_to_not_be_nul"),
        not_null(kwargs={}),
        not_null(kwargs={"column": "event_id", "most": 0.5}),
        not_null(kwargs={"column": "event_id", "mostly": 50}),
    ],
    ids=["misspelt type", "missing argument", "unknown argument", "argument out of range"],
)
def test_what_great_expectations_would_drop_is_refused(tmp_path: Path, expectation: dict[str, Any]) -> None:
    directory = write_suite(tmp_path, expectation)
    with pytest.raises(ConfigurationError, match=r"mine\.json at \$\.expectations\[0\] \(MY-1\)"):
        run_frame_gate("mine", events(), {}, directory)


@pytest.mark.parametrize("suite", sorted(path.stem for path in SHIPPED_DIRECTORY.glob("*.json")))
def test_shipped_suite_explains_every_rule(suite: str) -> None:
    loaded = load_suite(suite, BOUNDS, None)
    assert all(expectation.description != expectation.type for expectation in loaded.expectations)
