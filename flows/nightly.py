"""Nightly: import what is new or unfinished in the inbox, one export after the other, in the low-traffic window.

Requires an inbox and the target. Promises: no chunk is begun after the window closes, and none outside it or on a
blackout date (a worker that was away starts late runs); what was begun is committed, its rollups are right, and the
next night goes on under the same run id; an export that fails does not keep the others from being imported.
"""

from datetime import UTC, date, datetime, time
from typing import Any, Final

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed
from prefect.task_runners import ThreadPoolTaskRunner

from flows.naming import name_night
from flows.night import Night
from flows.parameters import ClockTime, Dataset, Format, Inbox, Initials, OnConflict, Tenant, TimeZone, named
from hindcast.database import target_url
from hindcast.errors import ConfigurationError
from hindcast.low_traffic import LowTraffic, read_low_traffic
from hindcast.plan import Request
from hindcast.settings import load_settings
from hindcast.times import format_utc
from tasks.inbox import queue_exports, show_night

TWO_O_CLOCK: Final = time(2)
FOUR_O_CLOCK: Final = time(4)


@flow(
    name="backfill",
    flow_run_name=name_night,
    persist_result=True,
    task_runner=ThreadPoolTaskRunner(max_workers=4),  # type: ignore[arg-type]  # a runner of futures, typed too narrow
)
def nightly(
    inbox: Inbox = "",
    opens_at: ClockTime = TWO_O_CLOCK,
    closes_at: ClockTime = FOUR_O_CLOCK,
    time_zone: TimeZone = "UTC",
    blackout_dates: list[date] = [],  # noqa: B006  # never changed
    format: Format = "detect",
    dataset: Dataset = "",
    on_conflict: OnConflict = "keep",
    tenant: Tenant = "",
    operator: Initials = "",
) -> Any:
    """Import what is new or unfinished in the inbox, in the low-traffic window.

    Args:
        inbox: A folder or s3://bucket/prefix; each file and each sub-folder in it is one export. HINDCAST_INBOX when
            empty.
        opens_at: When the low-traffic window opens, HH:MM by the time zone's clock. Outside the window nothing is done.
        closes_at: When it closes, HH:MM. No chunk is begun from then on; the next night goes on. May be past midnight.
        time_zone: Whose clock the window and the blackout dates go by.
        blackout_dates: Dates on which the window does not open, such as 2026-12-24.
        format: What wrote the exports; "detect" finds out from each one's first records.
        dataset: A name for reports and the ledger; the format's name when empty.
        on_conflict: What to do with a record that contradicts a row; keep the row, replace it, or fail.
        tenant: Whose events these are, where the format does not say.
        operator: Initials for the ledger; HINDCAST_OPERATOR when empty.
    """
    settings = load_settings()
    window = read_low_traffic(opens_at, closes_at, time_zone, blackout_dates)
    opening = window.opening_at(datetime.now(UTC))
    if opening is None:
        return _stay_closed("OutsideWindow", "started outside the low-traffic window", window)
    if opening.night in window.blackout_dates:
        return _stay_closed("Blackout", f"{opening.night} is a blackout date", window)
    place = inbox or settings.inbox
    if not place:
        raise ConfigurationError("no inbox: set HINDCAST_INBOX or the parameter `inbox`")
    request = Request(
        place, named(format), dataset or None, on_conflict=on_conflict, tenant=tenant, operator=operator,
        new_run=True,  # a file that changed since an unfinished run is a new export
    )  # fmt: skip
    night = Night(request, opening.closes_at.timestamp())
    night.import_all(queue_exports(place, tenant, target_url(settings), settings))
    show_night(night.rows)
    return night.end()


def _stay_closed(name: str, reason: str, window: LowTraffic) -> State[Any]:
    opens = format_utc(window.next_opening(datetime.now(UTC)).opens_at)
    return Completed(name=name, message=f"{reason}; nothing was done; it opens next at {opens}")
