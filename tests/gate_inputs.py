"""Staged events and suites for the tests of the gate."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from expectations.gate import GateResult

BOUNDS = {
    "window_start": datetime(1970, 1, 1, tzinfo=UTC),
    "window_end": datetime(2025, 1, 1, tzinfo=UTC),
    "latest": datetime(2025, 1, 1, tzinfo=UTC),
    "reject_share_limit": 0.01,
    "loaded_rows": 20,
}


def events(rows: int = 20, **changes: dict[int, Any]) -> pd.DataFrame:
    """Good staged events; `changes` are values by row, for a column."""
    columns: dict[str, list[Any]] = {
        "event_id": [f"018cc251-f400-8000-8000-{row:012x}" for row in range(rows)],
        "created_at": list(pd.date_range("2024-01-01", periods=rows, freq="s", tz="UTC")),
        "tenant": [""] * rows,
        "event_type": ["lesson_started"] * rows,
        "user_id": [f"learner-{row}" for row in range(rows)],
        "anonymous_id": [None] * rows,
        "session_id": [None] * rows,
        "course_id": ["course-1"] * rows,
        "lesson_id": [None] * rows,
        "module_id": [None] * rows,
        "user_agent": [None] * rows,
        "payload": ['{"progress":0.5}'] * rows,
        "source_event_id": [None] * rows,
        "part": ["history.jsonl"] * rows,
        "line": list(range(1, rows + 1)),
    }
    for column, values in changes.items():
        for row, value in values.items():
            columns[column][row] = value
    text = pd.StringDtype("pyarrow", na_value=np.nan)
    types = {"created_at": "datetime64[us, UTC]", "line": "int64"}
    return pd.DataFrame({name: pd.Series(values, dtype=types.get(name, text)) for name, values in columns.items()})


def write_suite(directory: Path, *expectations: dict[str, Any], **fields: Any) -> Path:
    suite = {"name": "mine", "expectations": list(expectations)} | fields
    (directory / "mine.json").write_text(json.dumps(suite), encoding="utf-8")
    return directory


def not_null(column: str = "event_id", **changes: Any) -> dict[str, Any]:
    expectation = {"type": "expect_column_values_to_not_be_null", "severity": "critical"}
    return expectation | {"meta": {"rule": "MY-1"}, "kwargs": {"column": column}} | changes


def unmet(result: GateResult) -> dict[str, str]:
    """Status by rule of the checks that did not pass."""
    return {check.rule: check.status for check in result.checks if check.status != "passed"}
