"""What a Prefect server must hold before workers are of use: the work pool, and the watch over runs that died.

Requires PREFECT_API_URL. Promises: safe to run twice; what a person changed on the server is left as it is.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.schedules import CronSchedule
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectAlreadyExists
from prefect.workers.process import ProcessWorker

WATCH_NAME: Final = "hindcast: runs that died are crashed"
HEARTBEAT_SECONDS: Final = 30
SILENCE_SECONDS: Final = 3 * HEARTBEAT_SECONDS + 5


@dataclass(frozen=True)
class Deployed:
    """A deployment as the server has it. `schedule` is empty when it runs by hand only."""

    name: str
    schedule: str
    description: str


def register_pool(name: str) -> None:
    """Create the work pool for local processes unless it is there."""
    template = ProcessWorker.get_default_base_job_template()
    pool = WorkPoolCreate(
        name=name,
        type="process",
        base_job_template=template,
        description="Runs of Hindcast, as processes of the worker",
    )
    with get_client(sync_client=True) as client:
        try:
            client.create_work_pool(pool)
        except ObjectAlreadyExists:
            return


def register_watch() -> None:
    """Create the automation that shows a run as crashed when its process is gone, unless it is there.

    Workers must send heartbeats: PREFECT_FLOWS_HEARTBEAT_FREQUENCY.
    """
    # Every event of a run counts as a sign of life: its last one is its end, whatever that is called.
    trigger = EventTrigger(
        after={"prefect.flow-run.heartbeat"},
        expect={"prefect.flow-run.*"},
        match={"prefect.resource.id": ["prefect.flow-run.*"]},
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=SILENCE_SECONDS),
    )
    crash = ChangeFlowRunState(
        state=StateType.CRASHED,
        name=None,
        force=False,
        message="No sign of life: the run's process is gone. What it committed stays; run it again to go on.",
    )
    automation = AutomationCore(
        name=WATCH_NAME,
        description="A run without a heartbeat for 95 seconds lost its process (killed, power cut).",
        trigger=trigger,
        actions=[crash],
    )
    with get_client(sync_client=True) as client:
        if not client.read_automations_by_name(WATCH_NAME):
            client.create_automation(automation)


def list_deployments() -> list[Deployed]:
    """The deployments of the server, by name."""
    with get_client(sync_client=True) as client:
        found = client.read_deployments()
        rows = [
            Deployed(
                f"{_flow_name(client, deployment.flow_id)}/{deployment.name}",
                ", ".join(_describe(schedule) for schedule in deployment.schedules),
                " ".join((deployment.description or "").split()),
            )
            for deployment in found
        ]
    return sorted(rows, key=lambda row: row.name)


def _flow_name(client: SyncPrefectClient, flow_id: object) -> str:
    return client.read_flow(flow_id).name  # type: ignore[arg-type]  # a UUID


def _describe(schedule: object) -> str:
    timing = schedule.schedule  # type: ignore[attr-defined]
    text = f"cron {timing.cron}" if isinstance(timing, CronSchedule) else type(timing).__name__
    zone = getattr(timing, "timezone", None) or "UTC"
    return f"{text} {zone}{'' if schedule.active else ', paused'}"  # type: ignore[attr-defined]
