"""Packages that Great Expectations imports and one expectation needs: imported when they are first used.

They are a third of its import: `scipy.stats` and `altair`, for `expect_column_kl_divergence_to_be_less_than`.
"""

import importlib
import importlib.util
import sys
import threading
from types import ModuleType
from typing import Any, Final

_PACKAGES: Final = ("scipy.stats", "altair")
_LOCK: Final = threading.RLock()


class _Deferred(ModuleType):
    """Stands for a package in `sys.modules` until somebody asks it for something; thread safe."""

    def __getattr__(self, attribute: str) -> Any:
        name = self.__name__
        with _LOCK:
            if sys.modules.get(name) is self:
                del sys.modules[name]
            return getattr(importlib.import_module(name), attribute)


def defer_rarely_used() -> None:
    """Put what stands for them in place of those that are not imported yet and are installed."""
    with _LOCK:
        for name in _PACKAGES:
            if name in sys.modules or not (spec := importlib.util.find_spec(name)):
                continue
            deferred = _Deferred(name)
            deferred.__spec__ = spec
            sys.modules[name] = deferred
