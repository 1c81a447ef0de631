"""Making the next thing while one is being worked on."""

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, Final, TypeVar

T = TypeVar("T")
_END: Final[Any] = object()


def one_ahead(items: Generator[T, None, None]) -> Generator[T, None, None]:
    """Yield the items of a generator, each made in a thread while the caller has the one before; two exist at once.

    The generator may use what only one thread at a time can, such as a connection, as long as the caller leaves that
    alone. It is closed however this ends; what it raises comes in its turn.
    """
    with closing(items), ThreadPoolExecutor(1) as aside:
        upcoming = aside.submit(next, items, _END)
        while (item := upcoming.result()) is not _END:
            upcoming = aside.submit(next, items, _END)
            yield item
