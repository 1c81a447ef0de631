"""Acceptance: is what was captured of LLM analytics stored, readable and isolated? Phase by phase.

Requires, in local mode, the target and the object store of the settings; in production mode a query API and S3, see
docs/acceptance.md. Promises: a phase starts only when all earlier ones passed; local mode leaves nothing behind, and
looks again to prove it; production mode writes nothing.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from flows.naming import name_acceptance
from hindcast.acceptance.outcome import CheckFailed, Mode, Phase
from hindcast.acceptance.run import Progression
from hindcast.errors import RunFailed
from hindcast.progress import tell
from hindcast.settings import Settings, load_settings
from tasks.acceptance import check_phase, clean_up, publish_report


@flow(
    name="acceptance",
    flow_run_name=name_acceptance,
    persist_result=True,
    task_runner=ThreadPoolTaskRunner(max_workers=1),  # type: ignore[arg-type]  # a runner of futures, typed too narrow
)
def acceptance(mode: Mode = "local") -> str:
    """Check LLM analytics end to end, phase by phase; returns the path of the report.

    Args:
        mode: local checks this project's endpoint, database and store with teams of its own and removes them;
            production only reads what one team has in a running platform.
    """
    settings = load_settings()
    with open_stage(mode, settings) as (stage, phases):
        progression = Progression(mode, stage.describe())
        try:
            for phase in phases:
                if progression.is_blocked:
                    progression.take(phase, stage)  # notes that it was not started
                    continue
                tell(f"phase {phase.name}", 0, 1)
                with contextlib.suppress(CheckFailed):  # it is in the report, and the task shows as failed
                    check_phase(phase, stage, progression)
                tell(f"phase {phase.name}", 1, 1)
        except BaseException:
            progression.clean_up(stage)  # no more tasks may start
            raise
        with contextlib.suppress(CheckFailed):
            clean_up(stage, progression)
    report = progression.report
    path = publish_report(report, settings.reports_dir)
    if not report.is_green:
        raise RunFailed(report.summary, path, 1)
    return path


@contextlib.contextmanager
def open_stage(mode: Mode, settings: Settings) -> Iterator[tuple[Any, Sequence[Phase[Any]]]]:
    """The stage of a mode and the phases that belong on it."""
    if mode == "local":
        from hindcast.acceptance import local_checks
        from hindcast.acceptance.local import local_stage

        with local_stage(settings) as stage:
            yield stage, local_checks.PHASES
    else:
        from hindcast.acceptance import production_checks
        from hindcast.acceptance.production import production_stage

        with production_stage(settings) as reading:
            yield reading, production_checks.PHASES
