"""Running a command as a user does, with its time, its progress lines and its memory."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.memory import MemoryWatch

ROOT: Final = Path(__file__).resolve().parents[1]


class CommandFailed(Exception):
    """A command ended badly; says how."""


@dataclass(frozen=True)
class Ran:
    """A command that ended well. `lines` are stderr's, each with its second since the start."""

    seconds: float
    stdout: str
    lines: list[tuple[float, str]]
    memory: dict[str, float]


def run(command: Iterable[str | Path], environment: Mapping[str, str] | None = None, folder: Path = ROOT) -> Ran:
    """Run a command to its end; raises CommandFailed with the last of what it said."""
    given = [str(word) for word in command]
    lines: list[tuple[float, str]] = []
    with tempfile.TemporaryFile("w+", encoding="utf-8") as out:
        began = time.perf_counter()
        process = subprocess.Popen(
            given, cwd=folder, env=os.environ | dict(environment or {}), stdout=out, stderr=subprocess.PIPE, text=True
        )

        def listen() -> None:
            assert process.stderr
            lines.extend((time.perf_counter() - began, line.rstrip()) for line in process.stderr)

        listener = threading.Thread(target=listen, daemon=True)
        with MemoryWatch(process.pid) as watch:
            listener.start()
            try:
                code = process.wait()
            except BaseException:  # Ctrl-C, SIGTERM: nobody waits for it any more
                process.kill()
                raise
            seconds = time.perf_counter() - began
        listener.join(5)
        if process.stderr and not listener.is_alive():  # else something it left behind still holds the pipe
            process.stderr.close()
        out.seek(0)
        stdout = out.read()
    if code:
        said = " | ".join([line for _, line in lines if line][-8:] or stdout.splitlines()[-8:])
        raise CommandFailed(f"{Path(given[0]).name} ended with {code}: {said[-900:]}")
    return Ran(seconds, stdout, lines, watch.peaks.as_megabytes())


def run_hindcast(arguments: Iterable[str | Path], url: str | None, home: Path) -> Ran:
    """Run `hindcast`, of this tree, in a home of its own."""
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    # Prefect's server ends with each command, so that every one starts its own and its memory is counted.
    environment = {"HINDCAST_HOME": str(home), "PYTHONPATH": paths, "HINDCAST_PREFECT_MINUTES": "0"}
    if url:
        environment["DATABASE_URL"] = url
    return run([sys.executable, "-m", "flows.cli", *arguments], environment)


def step_seconds(lines: list[tuple[float, str]]) -> dict[str, float]:
    """Seconds of each step from the lines that say when it began (`x ...`) and ended (`x: done`)."""
    begun: dict[str, float] = {}
    taken: dict[str, float] = {}
    for at, line in lines:
        if line.endswith(" ..."):
            begun[line.removesuffix(" ...")] = at
        elif line.endswith(": done") and (name := line.removesuffix(": done")) in begun:
            taken[name] = round(at - begun[name], 3)
    return taken


def remove(folder: Path) -> None:
    """Remove a folder, whatever it holds."""
    shutil.rmtree(folder, ignore_errors=True)


def as_object(text: str) -> dict[str, Any]:
    """The last line that is a JSON object; raises CommandFailed when there is none."""
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            found: dict[str, Any] = json.loads(line)
            return found
    raise CommandFailed(f"said no JSON: {text[-200:]!r}")


def some_of(known: Collection[str]) -> Callable[[str], list[str]]:
    """An option's type: names by commas, or `none`; argparse tells of one that is not known."""

    def read(text: str) -> list[str]:
        given = [] if text == "none" else text.split(",")
        for name in given:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r}: expected some of {', '.join(known)}")
        return given

    return read
