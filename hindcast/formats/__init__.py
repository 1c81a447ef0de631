"""The registry of formats, and detection."""

from collections.abc import Callable, Sequence
from typing import Final

from hindcast.errors import ConfigurationError, ExportError, RecordError
from hindcast.event import Event, Skipped
from hindcast.formats import amplitude, analytics_history, api_monitoring, email_engagement, llm_analytics
from hindcast.formats.base import Context, Format, decode_or_fault

FORMATS: Final[dict[str, Format]] = {
    module.NAME: module for module in (amplitude, analytics_history, api_monitoring, email_engagement, llm_analytics)
}


def find_format(name: str) -> Format:
    """The format of that name; raises ConfigurationError with the known ones."""
    if name not in FORMATS:
        raise ConfigurationError(f"format {name!r}: expected one of {', '.join(sorted(FORMATS))}")
    return FORMATS[name]


def decode_batch(module: Format, raws: Sequence[bytes], context: Context) -> list[Event | Skipped | RecordError]:
    """Decode records in their order; what a record breaks stands in its place.

    A format may bring a `decode_batch` of its own, with the same outcomes as its `decode`.
    """
    own: Callable[..., list[Event | Skipped | RecordError]] | None = getattr(module, "decode_batch", None)
    if own:
        return own(raws, context)
    return [decode_or_fault(module.decode, raw, context) for raw in raws]


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
