"""What Great Expectations does several times over: done once.

Its `_get_runtime_kwargs` asks for `configuration` once for each key, some fifteen times, and each time the expectation
is written out as a dict and read back. That was a third of what a gate costs whatever the number of rows.

It puts counts into one query as far as they are ready at the same moment. Those that need another metric's answer
first, if only the names of the columns, are asked for by a query of their own, and each reads the whole view again.
What it counts in a column is said to need the number of rows, which no query of those makes use of.
"""

import threading
from collections.abc import Iterable
from functools import wraps
from typing import Any, Final

_IN_A_COLUMN: Final = "column_values."


class _Together:
    """A database's engine that counts only when nothing else is left to do: then all in one query."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def resolve_metrics(
        self, metrics_to_resolve: Iterable[Any], metrics: Any = None, runtime_configuration: Any = None
    ) -> Any:
        from great_expectations.expectations.registry import get_metric_provider

        # What is counted by a query together with others has no function of its own.
        asked = set(metrics_to_resolve)
        alone = {m for m in asked if get_metric_provider(m.metric_name, self._engine)[1] is not None}
        return self._engine.resolve_metrics(alone or asked, metrics, runtime_configuration)


def count_in_one_query() -> None:
    """Let what a suite counts in a table be counted in one query, its rows included. Safe to call twice."""
    from great_expectations.execution_engine.sqlalchemy_execution_engine import SqlAlchemyExecutionEngine
    from great_expectations.validator.validation_graph import ValidationGraph

    graph: Any = ValidationGraph  # its method is exchanged, which its types do not foresee
    resolve = graph._resolve
    if hasattr(resolve, "__wrapped__"):
        return

    @wraps(resolve)
    def resolve_together(self: Any, *arguments: Any, **named: Any) -> Any:
        engine = self._execution_engine
        if not isinstance(engine, SqlAlchemyExecutionEngine):
            return resolve(self, *arguments, **named)
        self._execution_engine = _Together(engine)
        _let_rows_be_counted_later(self._edges)
        try:
            return resolve(self, *arguments, **named)
        finally:
            self._execution_engine = engine

    graph._resolve = resolve_together


def _let_rows_be_counted_later(edges: list[Any]) -> None:
    """Take out of a graph's edges, and of the metrics themselves, that what is counted in a column needs the rows."""
    for edge in list(edges):
        if (
            edge.right
            and edge.right.metric_name == "table.row_count"
            and edge.left.metric_name.startswith(_IN_A_COLUMN)
        ):
            edges.remove(edge)
            edge.left.metric_dependencies.pop(edge.right.metric_name, None)


class _Current(threading.local):
    expectation: Any = None
    configuration: Any = None


_current = _Current()


def remember_configurations() -> None:
    """Let an expectation's configuration stay what it is while its arguments are collected. Safe to call twice."""
    from great_expectations.expectations.expectation import Expectation

    expectation: Any = Expectation  # its methods are exchanged, which its types do not foresee
    ask, collect = expectation.configuration.fget, expectation._get_runtime_kwargs
    if hasattr(collect, "__wrapped__"):
        return

    def configuration(self: Any) -> Any:
        return _current.configuration if _current.expectation is self else ask(self)

    @wraps(collect)
    def get_runtime_kwargs(self: Any, *arguments: Any, **named: Any) -> Any:
        before = _current.expectation, _current.configuration
        _current.expectation, _current.configuration = self, ask(self)
        try:
            return collect(self, *arguments, **named)
        finally:
            _current.expectation, _current.configuration = before

    expectation.configuration = property(configuration)
    expectation._get_runtime_kwargs = get_runtime_kwargs
