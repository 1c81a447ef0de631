"""The registry of formats, and detection."""

from typing import Final

from hindcast.errors import ConfigurationError, ExportError
from hindcast.formats import analytics_history
from hindcast.formats.base import Format

FORMATS: Final[dict[str, Format]] = {module.NAME: module for module in (analytics_history,)}


def find_format(name: str) -> Format:
    """The format of that name; raises ConfigurationError with the known ones."""
    if name not in FORMATS:
        raise ConfigurationError(f"format {name!r}: expected one of {', '.join(sorted(FORMATS))}")
    return FORMATS[name]


def detect_format(records: list[bytes]) -> tuple[str, str]:
    """Name the one format these first records are written in, with the evidence.

    Raises ExportError when none or several fit: it never guesses silently.
    """
    found = {name: evidence for name, module in FORMATS.items() if (evidence := module.detect(records))}
    if len(found) == 1:
        return next(iter(found.items()))
    if not found:
        raise ExportError(
            f"the first {len(records)} records fit no format ({', '.join(sorted(FORMATS))}): name it with --format"
        )
    listed = "; ".join(f"{name}: {evidence}" for name, evidence in sorted(found.items()))
    raise ExportError(f"the first records fit several formats, choose one with --format: {listed}")
