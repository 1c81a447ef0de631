"""Great Expectations kept quiet, private and honest: a context a call, every expectation kept or an error."""

import logging
import threading
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from expectations.rarely_used import defer_rarely_used
from expectations.result import SAMPLES_PER_CHECK
from expectations.shortcuts import count_in_one_query, remember_configurations
from expectations.suite import Expectation, Suite
from hindcast.errors import ConfigurationError
from hindcast.importing import without_collections

if TYPE_CHECKING:
    import pandas

# Added to a table's suite to learn how many rows it saw; shares its metric with any row floor.
ROW_COUNT_RULE: Final = "hindcast.rows"

_SAMPLED: Final = {"result_format": "SUMMARY", "partial_unexpected_count": SAMPLES_PER_CHECK}
_COUNTED: Final = {"result_format": "BASIC", "partial_unexpected_count": 0}

# An argument that is none of these (a row condition) may speak of other columns.
_ONE_COLUMN_ARGUMENTS: Final = frozenset(
    {"column", "mostly", "min_value", "max_value", "strict_min", "strict_max", "regex", "regex_list", "value_set"}
)

_IMPORT_LOCK: Final = threading.Lock()


@lru_cache(maxsize=1)
def load_great_expectations() -> Any:
    """Import Great Expectations, quietly. Takes seconds the first time, so only a gate asks for it."""
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    with _IMPORT_LOCK, without_collections("great_expectations"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports a deprecated module of the standard library
        defer_rarely_used()
        import great_expectations
        from great_expectations.execution_engine import pandas_execution_engine
    # Smaller frames are md5-hashed row by row, a third of a gate's time, for a fingerprint nobody reads.
    pandas_execution_engine.HASH_THRESHOLD = 0
    remember_configurations()
    count_in_one_query()
    return great_expectations


def new_context() -> Any:
    """Return a context of its own: one shared by two threads mixes up their verdicts."""
    gx = load_great_expectations()
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(),
        progress_bars=ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )
    return gx.get_context(mode="ephemeral", project_config=config)


@runtime_checkable
class Columns(Protocol):
    """A frame whose columns are read when they are looked at. Rows are numbered from 0."""

    def __len__(self) -> int: ...

    @property
    def columns(self) -> Collection[str]:
        """Names of the columns there are."""

    def read(self, names: Sequence[str] | None) -> "pandas.DataFrame":
        """These columns, or all."""

    def row(self, position: int, names: Sequence[str]) -> dict[str, Any]:
        """The values of one row."""


def validate_frame(frame: Columns, suite: Suite) -> Mapping[str, Any]:
    """Validate and return GX's results by rule. A rule without a result is for the caller to refuse.

    Rules about one column see that column alone: for every rule GX copies the rows it looks at, all their columns
    included. In two passes: to look for samples of what is all right takes longer than to count it.
    """
    source = new_context().data_sources.add_pandas("frame")
    results: dict[str, Any] = {}
    # One asset for all: GX writes its whole configuration as YAML for each, and keeps no data in it.
    definition = source.add_dataframe_asset(suite.name).add_batch_definition_whole_dataframe("all")
    for column, expectations in _by_column(suite, frame).items():
        batch = definition.get_batch({"dataframe": frame.read(None if column is None else [column])})
        counted = _validate(batch, _build_suite(replace(suite, expectations=tuple(expectations))), _COUNTED)
        failing = _failing(counted, expectations)
        if failing:
            # SUMMARY, and positions instead of index columns: a batch in which everything fails costs tens of
            # megabytes with COMPLETE and ten seconds with index columns.
            counted |= _validate(batch, _build_suite(replace(suite, expectations=failing)), _SAMPLED)
        results |= counted
    return results


def validate_table(batch: Any, suite: Suite) -> Mapping[str, Any]:
    """Validate like a frame, in two passes, and count the rows under `ROW_COUNT_RULE`.

    The first judges by counts alone, in few queries; the second reads samples of what fails. Reading samples
    of everything takes a scan or two of the table a check: five times the load on the target.
    """
    results = _validate(batch, _build_suite(suite, count_rows=True), _COUNTED)
    failing = _failing(results, suite.expectations)
    if failing:
        indexed = {"unexpected_index_column_names": list(suite.locators)} if suite.locators else {}
        sampled = _validate(batch, _build_suite(replace(suite, expectations=failing)), _SAMPLED | indexed)
        for rule, result in sampled.items():
            lists = ("partial_unexpected_list", "partial_unexpected_index_list")
            results[rule].result.update({key: result.result.get(key) for key in lists})
    return results


def _failing(counted: Mapping[str, Any], expectations: Iterable[Expectation]) -> tuple[Expectation, ...]:
    return tuple(e for e in expectations if e.rule in counted and counted[e.rule].result.get("unexpected_count"))


def columns_of(suite: Suite) -> frozenset[str] | None:
    """The columns a suite looks at; None when a rule may look at all of them."""
    if any(not e.kwargs.keys() <= _ONE_COLUMN_ARGUMENTS or "column" not in e.kwargs for e in suite.expectations):
        return None
    return frozenset(str(e.kwargs["column"]) for e in suite.expectations) | set(suite.locators)


def _by_column(suite: Suite, frame: Columns) -> dict[str | None, list[Expectation]]:
    """Expectations by the one column they are about; under None those about several, or the table."""
    groups: dict[str | None, list[Expectation]] = {}
    for expectation in suite.expectations:
        column = expectation.kwargs.get("column")
        is_alone = expectation.kwargs.keys() <= _ONE_COLUMN_ARGUMENTS and column in frame.columns
        groups.setdefault(column if is_alone else None, []).append(expectation)
    return groups


def _build_suite(suite: Suite, count_rows: bool = False) -> Any:
    """Build GX's suite; raises ConfigurationError for a type or argument it does not know."""
    gx = load_great_expectations()
    built = [_build_expectation(suite, position) for position in range(len(suite.expectations))]
    if count_rows:
        meta = {"rule": ROW_COUNT_RULE}
        built.append(gx.expectations.ExpectTableRowCountToBeBetween(min_value=0, meta=meta))
    gx_suite = gx.ExpectationSuite(name=suite.name, expectations=built)
    if len(gx_suite.expectations) != len(built):
        kept = len(gx_suite.expectations)
        raise ConfigurationError(f"{suite.file}: great expectations kept {kept} of {len(built)} expectations")
    return gx_suite


def _validate(batch: Any, gx_suite: Any, result_format: Mapping[str, Any]) -> dict[str, Any]:
    results = batch.validate(gx_suite, result_format=dict(result_format)).results
    return {result.expectation_config.meta["rule"]: result for result in results}


def _build_expectation(suite: Suite, position: int) -> Any:
    from great_expectations.exceptions.exceptions import GreatExpectationsError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.expectations.metadata_types import FailureSeverity

    expectation = suite.expectations[position]
    place = f"{suite.file} at $.expectations[{position}] ({expectation.rule})"
    try:
        built = ExpectationConfiguration(
            type=expectation.type,
            kwargs=expectation.kwargs,
            meta={"rule": expectation.rule},
            severity=FailureSeverity(expectation.severity),
        ).to_domain_obj()
    except (GreatExpectationsError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ConfigurationError(f"{place}: {expectation.type!r}: {reason}") from error
    if str(built.severity.value) != expectation.severity:
        raise ConfigurationError(f"{place}: great expectations made severity {built.severity.value!r} of it")
    return built
