"""Memory given back: what cycles hold is freed, and the process becomes smaller where the C library can do that."""

import sys
import weakref

import psutil
import pytest

from hindcast.memory import give_back


class Node:
    """Holds itself."""

    def __init__(self) -> None:
        self.me = self


def test_what_only_a_cycle_holds_is_freed() -> None:
    node = Node()
    seen = weakref.ref(node)
    del node
    give_back()
    assert seen() is None


@pytest.mark.skipif(sys.platform != "linux", reason="other C libraries keep what is free")
def test_free_memory_goes_back_to_the_system() -> None:
    process = psutil.Process()
    small = [bytes(1000) for _ in range(100_000)]  # from the heap, not mapped one by one
    kept = [bytes(1000) for _ in range(10)]
    del small
    before = process.memory_info().rss
    give_back()
    assert before - process.memory_info().rss > 30_000_000 and kept
