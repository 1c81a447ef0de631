"""Importing large packages: without collecting garbage, of which they make none, and not where nobody needs them."""

import gc
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final

_LOCK: Final = threading.Lock()
_importing: list[str] = []


@contextmanager
def without_collections(what: str) -> Iterator[None]:
    """Keep the garbage collector out while `what` is imported; what that made is not looked at later either.

    A fifth of the time goes into collections that find nothing.
    Thread safe: the collector works again when the last import is done.
    """
    with _LOCK:
        _importing.append(what)
        gc.disable()
    try:
        yield
    finally:
        with _LOCK:
            _importing.remove(what)
            if not _importing:
                gc.freeze()
                gc.enable()


class _Absent:
    """Says of one package that it is not installed; a finder as in `sys.meta_path`."""

    def __init__(self, package: str) -> None:
        self._package = package

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        """Raise for the package; others are for the next finder."""
        if fullname == self._package:
            raise ModuleNotFoundError(f"{fullname} is not for this process", name=fullname)


def do_without(package: str) -> None:
    """Let this process be as if `package` were not installed; for what others import only because it is there."""
    absent: Any = _Absent(package)  # not by inheritance: importlib.abc is slow to import
    sys.meta_path.insert(0, absent)
