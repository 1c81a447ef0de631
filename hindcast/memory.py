"""Giving memory back to the system, where much was used for a moment."""

import ctypes
import gc
from collections.abc import Callable
from functools import cache
from typing import Any


def give_back() -> None:
    """Free what only cycles hold, and return free memory to the system where the C library can (glibc)."""
    gc.collect()
    _find_trim()(0)


@cache
def _find_trim() -> Callable[[int], Any]:
    try:
        trim: Callable[[int], Any] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # musl, macOS
        return lambda _: 0
    return trim
