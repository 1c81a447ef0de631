"""What a gate says: plain values that go into reports and the ledger as JSON (`dataclasses.asdict`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

# As many as a person looks at; keeps a report small when every row fails.
SAMPLES_PER_CHECK: Final = 20

_CHECKS_FROM_BEST: Final = ("passed", "warned", "failed", "error")


@dataclass(frozen=True)
class Sample:
    """A failing value, and where it came from when the rows say so."""

    value: str
    part: str | None
    line: int | None


@dataclass(frozen=True)
class Check:
    """One expectation's verdict. `status` is passed, warned, failed or error (it could not be evaluated)."""

    rule: str
    type: str
    severity: str
    status: str
    description: str
    observed: str
    unexpected: int
    samples: list[Sample]


@dataclass(frozen=True)
class GateResult:
    """One suite's verdict. `status` is passed, warned or failed; an error in any check fails the suite.

    `judged_at` is when, of a verdict that an earlier run was given on the same rows; empty: by this run.
    """

    suite: str
    status: str
    rows: int
    checks: list[Check]
    seconds: float
    judged_at: str = ""


def merge_results(results: Sequence[GateResult]) -> GateResult:
    """Merge batches of one suite into one: worst status, summed counts, the first samples, the earliest verdict kept.

    Thresholds (`mostly`) were applied batch by batch, so one bad batch among good ones shows.
    """
    if not results:
        raise ValueError("no gate results to merge: a gate that did not run has no verdict")
    suites = sorted({result.suite for result in results})
    if len(suites) > 1:
        raise ValueError(f"cannot merge results of different suites: {suites}")
    rows = sum(result.rows for result in results)
    batches = [(check, result.rows) for result in results for check in result.checks]
    rules = dict.fromkeys(check.rule for check, _ in batches)
    checks = [_merge_checks([pair for pair in batches if pair[0].rule == rule], rows) for rule in rules]
    seconds = round(sum(result.seconds for result in results), 3)
    judged_at = min((result.judged_at for result in results if result.judged_at), default="")
    return GateResult(suites[0], suite_status(checks), rows, checks, seconds, judged_at)


def suite_status(checks: Sequence[Check]) -> str:
    """Return the suite's status: no check at all is a failure, as is a check that could not be evaluated."""
    statuses = {check.status for check in checks}
    if not statuses or statuses & {"failed", "error"}:
        return "failed"
    return "warned" if "warned" in statuses else "passed"


def describe_share(unexpected: int, rows: int) -> str:
    """Say how many of the rows break a rule; the same words for a batch and for the sum of batches."""
    if unexpected == 0:
        return f"0 of {rows:,} rows"
    percent = 100 * unexpected / rows if rows else 100.0
    return f"{unexpected:,} of {rows:,} rows ({percent:.3g} %)"


def _merge_checks(batches: Sequence[tuple[Check, int]], rows: int) -> Check:
    checks = [check for check, _ in batches]
    worst = max(checks, key=lambda check: _CHECKS_FROM_BEST.index(check.status))
    unexpected = sum(check.unexpected for check in checks)
    samples = [sample for check in checks for sample in check.samples][:SAMPLES_PER_CHECK]
    observed = worst.observed
    if all(check.observed == describe_share(check.unexpected, batch_rows) for check, batch_rows in batches):
        observed = describe_share(unexpected, rows)
    elif any(check.observed != observed for check in checks):
        observed = f"{observed} (the worst of {len(checks)} batches)"
    return Check(worst.rule, worst.type, worst.severity, worst.status, worst.description, observed, unexpected, samples)
