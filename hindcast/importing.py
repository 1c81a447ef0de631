"""Importing large packages: nothing they make is garbage, so collections meanwhile are time lost (a fifth of it)."""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_LOCK: Final = threading.Lock()
_importing: list[str] = []


@contextmanager
def without_collections(what: str) -> Iterator[None]:
    """Keep the garbage collector out while `what` is imported; what that made is not looked at later either.

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
