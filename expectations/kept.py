"""Verdicts kept beside what was staged: rows that a suite has judged are not judged by it again."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec

from expectations.engine import columns_of
from expectations.gate import run_frame_gate
from expectations.result import GateResult
from expectations.staged import StagedEvents
from expectations.suite import Suite, load_suite
from hindcast.manifest import Chunk

_JUDGES: Final = ("great-expectations", "pandas", "pyarrow", "hindcast")


def run_staged_gate(
    suite: str, folder: Path, chunks: Sequence[Chunk], parameters: Mapping[str, object], directory: Path | None = None
) -> GateResult | None:
    """Run a suite on the staged events of some chunks, or give what it said of the very same ones; None without events.

    Raises ConfigurationError like `run_frame_gate`.
    """
    loaded = load_suite(suite, parameters, directory)
    events = StagedEvents(folder, chunks, columns_of(loaded))
    if not len(events):
        return None
    kept = KeptVerdict(folder, loaded, events)
    if earlier := kept.read():
        return earlier
    result = run_frame_gate(suite, events, parameters, directory)
    kept.write(result)
    return result


class KeptVerdict:
    """What one suite said of some staged events, in their folder. Whatever is not as it was then has no verdict.

    It is bound to the state of the staged files, to the chunks' places in the export, to the suite with its parameters,
    and to the versions of what judged.
    """

    def __init__(self, folder: Path, suite: Suite, events: StagedEvents) -> None:
        stamps = events.stamps()
        judged = (suite.name, suite.locators, suite.expectations, _versions(), stamps)
        key = hashlib.sha256(repr(judged).encode()).hexdigest()[:32]
        self._path = folder / f"verdict-{key}.json" if stamps else None

    def read(self) -> GateResult | None:
        """The verdict with the time it was given at; None when there is none that can be read."""
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=GateResult) if self._path else None
        except (OSError, msgspec.DecodeError):
            return None
        return replace(kept, seconds=0.0) if kept else None

    def write(self, result: GateResult) -> None:
        """Keep a verdict, unless a check could not be evaluated: that may go better the next time."""
        if self._path is None or any(check.status == "error" for check in result.checks):
            return
        aside = self._path.with_suffix(f".new-{os.getpid()}")
        aside.write_bytes(
            msgspec.json.encode(replace(result, judged_at=datetime.now(UTC).isoformat(timespec="seconds")))
        )
        aside.rename(self._path)


@lru_cache(maxsize=1)
def _versions() -> tuple[str, ...]:
    return tuple(version(name) for name in _JUDGES)
