"""How far a step has come, told to whoever listens: a terminal, a Prefect artifact. Nobody listening costs nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Listener = Callable[[str, int, int], None]

_listeners: list[Listener] = []


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call `listener(step, done, total)` while the context lasts; units are the step's own."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def tell(step: str, done: int, total: int) -> None:
    """Tell the listeners."""
    for listener in tuple(_listeners):
        listener(step, done, total)
