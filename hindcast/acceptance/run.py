"""The order of a run: a phase starts only when all earlier ones passed; what is made is cleaned up however it ends."""

from collections.abc import Sequence

from hindcast.acceptance.outcome import (
    AcceptanceReport,
    CheckResult,
    Cleanable,
    Mode,
    Phase,
    PhaseResult,
    Stage,
    name_check,
    run_check,
)


class Progression:
    """A run at work: takes phases one after the other and keeps what they came to."""

    def __init__(self, mode: Mode, place: str) -> None:
        self.report = AcceptanceReport(mode, place)

    @property
    def is_blocked(self) -> bool:
        """True when a phase did not pass: the later ones are not started."""
        return any(earlier.status not in ("passed", "skipped") for earlier in self.report.phases)

    def take(self, phase: Phase[Stage], stage: Stage) -> PhaseResult:
        """Run a phase, or note that it was not started because an earlier one did not pass."""
        if self.is_blocked:
            checks = [CheckResult(name_check(check), "not started") for check in phase.checks]
        else:
            checks = [run_check(check, stage) for check in phase.checks]
        result = PhaseResult(phase.name, checks)
        self.report.phases.append(result)
        return result

    def clean_up(self, stage: Cleanable) -> PhaseResult:
        """Remove what the stage made, and note what was removed or is left; also after a failure."""

        def nothing_is_left(stage: Cleanable) -> str:
            return stage.clean_up()

        result = PhaseResult("cleanup", [run_check(nothing_is_left, stage)])
        self.report.phases.append(result)
        return result


def run_phases(mode: Mode, phases: Sequence[Phase[Stage]], stage: Stage) -> AcceptanceReport:
    """Run all phases in this process, then clean up."""
    progression = Progression(mode, stage.describe())
    try:
        for phase in phases:
            progression.take(phase, stage)
    finally:
        progression.clean_up(stage)
    return progression.report
