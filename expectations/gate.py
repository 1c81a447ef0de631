"""The gate: runs a suite on a frame or on a view of the target and says whether to go on. Fails closed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from expectations.engine import (
    ROW_COUNT_RULE,
    Columns,
    load_great_expectations,
    new_context,
    validate_frame,
    validate_table,
)
from expectations.result import (
    Check,
    GateResult,
    Sample,
    merge_results,
    suite_status,
)
from expectations.session import Sessions, read_only_sessions, require_readable
from expectations.suite import Suite, load_suite
from expectations.verdict import Sampler, read_check, show_value
from hindcast.errors import ConfigurationError, TargetError

if TYPE_CHECKING:
    import pandas

__all__ = [
    "Check",
    "GateResult",
    "Sample",
    "TargetView",
    "merge_results",
    "run_frame_gate",
    "run_table_gate",
]

# GX insists on a URL with a user; the real sessions come from `Sessions.open`, so it never sees the password.
_PLACEHOLDER_URL: Final = "postgresql+psycopg://gate@localhost/target"


@dataclass(frozen=True)
class TargetView:
    """A view in the target's schema `public`, and the settings (such as `hindcast.run_id`) that filter it."""

    url: str = field(repr=False)
    name: str
    session_settings: Mapping[str, str]


def run_frame_gate(
    suite: str, frame: "pandas.DataFrame | Columns", parameters: Mapping[str, object], directory: Path | None = None
) -> GateResult:
    """Run a suite on a frame, or on columns read one by one; samples name `part` and `line` where it has them.

    Needs no database. Thread safe. Raises ConfigurationError when the suite itself is wrong; a check that
    could not be evaluated has status error and fails the gate.
    """
    loaded = load_suite(suite, parameters, directory)
    columns = frame if isinstance(frame, Columns) else FrameColumns(frame)
    for column in loaded.locators:
        if column not in columns.columns:
            raise ConfigurationError(f"{loaded.file} at $.meta.locators: {column!r} is no column of the data")
    load_great_expectations()
    started = perf_counter()
    results = validate_frame(columns, loaded)
    result = _conclude(loaded, results, len(columns), _frame_sampler(columns, loaded.locators), started)
    is_facts = len(columns) == 1 and "part" not in columns.columns
    return _show_facts(loaded, result, columns.read(None)) if is_facts else result


def run_table_gate(
    suite: str, view: TargetView, parameters: Mapping[str, object], directory: Path | None = None
) -> GateResult:
    """Run a suite on a view of the target, in read-only sessions, in UTC, with `public` as the search path.

    Thread safe. Raises ConfigurationError when the suite is wrong, TargetError when the view cannot be read,
    TransientError when the target does not answer; a session lost on the way is an error in the checks.
    """
    loaded = load_suite(suite, parameters, directory)
    load_great_expectations()
    started = perf_counter()
    with read_only_sessions(view.url, view.session_settings) as sessions:
        require_readable(sessions, view.name)
        results = _validate_view(sessions, view.name, loaded)
    counted = results.get(ROW_COUNT_RULE)
    if counted is None or "observed_value" not in counted.result:
        raise TargetError(f"the gate cannot count the rows of view public.{view.name}")
    rows = int(counted.result["observed_value"])
    return _conclude(loaded, results, rows, _table_sampler(loaded.locators), started)


def _validate_view(sessions: Sessions, view: str, suite: Suite) -> Mapping[str, Any]:
    from great_expectations.datasource.fluent.interfaces import TestConnectionError

    try:
        source = new_context().data_sources.add_postgres(
            "target",
            connection_string=_PLACEHOLDER_URL,
            create_temp_table=False,
            kwargs={"creator": sessions.open},
        )
        asset = source.add_table_asset(view, table_name=view)
    except TestConnectionError as error:
        raise TargetError(f"the gate cannot read view public.{view}: {str(error)[:300]}") from error
    batch = asset.add_batch_definition_whole_table("all").get_batch()
    try:
        return validate_table(batch, suite)
    finally:
        source.get_execution_engine().close()
        source.get_engine().dispose()


def _conclude(suite: Suite, results: Mapping[str, Any], rows: int, sampler: Sampler, started: float) -> GateResult:
    checks = [
        read_check(expectation, results.get(expectation.rule), rows, sampler) for expectation in suite.expectations
    ]
    return GateResult(suite.name, suite_status(checks), rows, checks, round(perf_counter() - started, 3))


def _show_facts(suite: Suite, result: GateResult, frame: "pandas.DataFrame") -> GateResult:
    """Say the fact itself: of one row of facts, "1 of 1 rows" would tell nothing."""
    columns = {expectation.rule: expectation.kwargs.get("column") for expectation in suite.expectations}
    checks = [
        replace(check, observed=f"{columns[check.rule]} = {show_value(frame.at[0, columns[check.rule]])}")
        if columns[check.rule] in frame.columns and check.status != "error"
        else check
        for check in result.checks
    ]
    return replace(result, checks=checks)


class FrameColumns:
    """A frame that is there whole."""

    def __init__(self, frame: "pandas.DataFrame") -> None:
        self._frame = frame.reset_index(drop=True)  # GX then names failing rows by position, which costs nothing

    def __len__(self) -> int:
        return len(self._frame)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns there are."""
        return tuple(self._frame.columns)

    def read(self, names: Sequence[str] | None) -> "pandas.DataFrame":
        """These columns, or all."""
        return self._frame if names is None else self._frame[list(names)]

    def row(self, position: int, names: Sequence[str]) -> dict[str, Any]:
        """The values of one row."""
        return {str(name): value for name, value in self._frame.iloc[position].to_dict().items() if name in names}


def _frame_sampler(columns: Columns, locators: Sequence[str]) -> Sampler:
    """Find failing rows by their positions, in row order."""
    names = [name for name in dict.fromkeys((*locators, "part", "line")) if name in columns.columns]

    def sample(facts: Mapping[str, Any]) -> list[Sample]:
        values = facts.get("partial_unexpected_list") or []
        positions = facts.get("partial_unexpected_index_list") or []
        if len(positions) != len(values):
            return [Sample(show_value(value), None, None) for value in values]
        return [
            _sample(value, columns.row(position, names), locators)
            for value, position in zip(values, positions, strict=True)
        ]

    return sample


def _table_sampler(locators: Sequence[str]) -> Sampler:
    """Take the locator columns that GX read beside each failing value."""

    def sample(facts: Mapping[str, Any]) -> list[Sample]:
        values = facts.get("partial_unexpected_list") or []
        located = facts.get("partial_unexpected_index_list") or []
        if not located:
            return [Sample(show_value(value), None, None) for value in values]
        return [_sample(_failing_value(row, locators), row, locators) for row in located]

    return sample


def _failing_value(row: Mapping[str, Any], locators: Sequence[str]) -> object:
    """Return the value of the column that failed: the one that is no locator, unless all are."""
    values = [value for column, value in row.items() if column not in locators]
    if not values:
        return next(iter(row.values()))
    return values[0] if len(values) == 1 else tuple(values)


def _sample(value: object, row: Mapping[str, Any], locators: Sequence[str]) -> Sample:
    shown = show_value(value)
    if locators:
        shown += " at " + ", ".join(f"{column}={show_value(row[column])}" for column in locators)
    part, line = row.get("part"), row.get("line")
    return Sample(shown, None if part is None else str(part), int(line) if isinstance(line, int) else None)
