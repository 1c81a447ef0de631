"""Turns one Great Expectations result into a check: what failed, what crashed, and a few failing rows."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from expectations.result import SAMPLES_PER_CHECK, Check, Sample, describe_share
from expectations.suite import Expectation

# Makes samples from a result's `result` dict.
Sampler = Callable[[Mapping[str, Any]], list[Sample]]

_VALUE_CHARACTERS: Final = 200
_REASON_CHARACTERS: Final = 300


def read_check(expectation: Expectation, result: Any | None, rows: int, sampler: Sampler) -> Check:
    """Judge one expectation: error when it was not evaluated or crashed, whatever its severity."""
    crash = "great expectations returned no result for it" if result is None else _find_crash(result)
    facts: Mapping[str, Any] = {} if result is None or crash else result.result
    unexpected = int(facts.get("unexpected_count") or 0)
    return Check(
        rule=expectation.rule,
        type=expectation.type,
        severity=expectation.severity,
        status="error" if crash else _status(expectation.severity, result.success if result else False),
        description=expectation.description,
        observed=crash or _observed(facts, unexpected, rows),
        unexpected=unexpected,
        samples=sampler(facts)[:SAMPLES_PER_CHECK] if unexpected else [],
    )


def show_value(value: object) -> str:
    """Show a value on one line: null for what is missing, control characters escaped, cut when long."""
    if value is None or value != value or str(value) in ("NaT", "<NA>"):
        return "null"
    text = str(value)
    if len(text) > _VALUE_CHARACTERS:
        text = f"{text[:_VALUE_CHARACTERS]}… ({len(text):,} characters)"
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def _status(severity: str, is_success: bool) -> str:
    if is_success:
        return "passed"
    return "failed" if severity == "critical" else "warned"


def _find_crash(result: Any) -> str:
    """Return what crashed, or '' when nothing did. GX has two shapes of `exception_info`."""
    info = result.exception_info or {}
    crashes = [entry for entry in info.values() if isinstance(entry, Mapping)]
    if info.get("raised_exception"):
        crashes.append(info)
    if crashes:
        return _first_line(crashes[0].get("exception_message"))
    if not isinstance(result.success, bool):
        return f"great expectations gave success={result.success!r}"
    return ""


def _first_line(message: object) -> str:
    lines = [line.strip() for line in str(message or "").splitlines() if line.strip()]
    return show_value(lines[0][:_REASON_CHARACTERS]) if lines else "it crashed and gave no reason"


def _observed(facts: Mapping[str, Any], unexpected: int, rows: int) -> str:
    if "unexpected_count" in facts:
        return describe_share(unexpected, rows)
    if "observed_value" in facts:
        return show_value(facts["observed_value"])
    return ""
