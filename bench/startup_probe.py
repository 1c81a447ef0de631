"""Runs `hindcast` with marks at the turns of its start and its end: `startup_probe.py OUT ARGUMENTS...`.

Each mark is a line of OUT, `seconds since 1970 <tab> name`. Started by `python -m bench.startup`.
"""

import atexit
import builtins
import functools
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

OUT: Final = Path(sys.argv[1])
_BODY: Final = {"extract": "first byte", "measure": "verified", "keep": "measured"}
_IMPORTS: Final = {
    "prefect": "prefect imported",
    "great_expectations": "gx imported",
    "flows.backfill": "flow imported",
}
_WORKING: Final[set[str]] = set()
_import = builtins.__import__


def mark(name: str) -> None:
    """Note that this was reached now."""
    with OUT.open("a") as out:
        out.write(f"{time.time()}\t{name}\n")


def mark_around(module: Any, name: str, before: str = "", after: str = "") -> None:
    """Mark when a function of a module begins or has ended."""
    function: Callable[..., Any] = getattr(module, name)

    @functools.wraps(function)
    def marked(*arguments: Any, **named: Any) -> Any:
        if before:
            mark(before)
        try:
            return function(*arguments, **named)
        finally:
            if after:
                mark(after)

    setattr(module, name, marked)


def marking_import(name: str, *arguments: Any, **named: Any) -> Any:
    """Import, and mark the first time that some packages begin and are there."""
    if name not in _IMPORTS or name in sys.modules or name in _WORKING:
        return _import(name, *arguments, **named)
    _WORKING.add(name)
    mark(f"{name} begins")
    try:
        return _import(name, *arguments, **named)
    finally:
        mark(_IMPORTS[name])


def main() -> None:
    """Run the command."""
    from flows import cli, private_server

    mark("command imported")
    builtins.__import__ = marking_import
    mark_around(private_server, "start_private_server", after="server spawned")
    mark_around(private_server, "await_private_server", after="server ready")
    mark_around(private_server, "stop_private_server", before="server told to stop", after="server stopped")
    run_flow = cli.run_flow

    def run_marked(flow: Any, *arguments: Any, **named: Any) -> Any:
        from flows import backfill

        mark_around(flow, "fn", before="flow begins", after="flow ends")
        for name, before in _BODY.items():
            mark_around(backfill, name, before=before)
        try:
            return run_flow(flow, *arguments, **named)
        finally:
            mark("flow closed")

    cli.run_flow = run_marked
    atexit.register(mark, "last")
    cli.cli(sys.argv[2:])


if __name__ == "__main__":
    main()
