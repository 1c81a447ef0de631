"""What Great Expectations works out anew for each argument of each expectation: worked out once.

Its `_get_runtime_kwargs` asks for `configuration` once for each key, some fifteen times, and each time the expectation
is written out as a dict and read back. That was a third of what a gate costs whatever the number of rows.
"""

import threading
from functools import wraps
from typing import Any


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
