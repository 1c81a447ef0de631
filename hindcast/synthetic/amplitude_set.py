"""The scenario sets as an export with its answer key."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from hindcast.canonical import encode_value
from hindcast.synthetic.amplitude_export import APP, HOUR_MS, write_amplitude
from hindcast.synthetic.amplitude_scenarios import SETS, ScenarioEvent, scenario_events
from hindcast.synthetic.output import write_answers
from hindcast.synthetic.planted import EPOCH
from hindcast.synthetic.spec import Answers, MonthCount

UPLOADED_AFTER = timedelta(seconds=2)


@dataclass(frozen=True)
class ScenarioSpec:
    """Which set, where to, and the window its events lie in."""

    name: str
    start: datetime
    end: datetime
    seed: int = 1
    with_blank_ids: bool = False


def generate_scenarios(spec: ScenarioSpec, out: Path) -> Answers:
    """Write the export and its answer key: one `$identify` for each pair of user and device, trimmed."""
    events = scenario_events(spec.name, spec.start, spec.end, spec.with_blank_ids)
    hours: dict[int, list[bytes]] = {}
    for number, event in enumerate(events):
        hour = (event.at + UPLOADED_AFTER - EPOCH) // timedelta(milliseconds=HOUR_MS)
        hours.setdefault(hour, []).append(encode_value(make_record(event, number, spec)))
    files = write_amplitude(out, sorted(hours.items()), compression=9)
    answers = _answer(spec, events)
    answers.files.extend(files)
    write_answers(out, answers)
    return answers


def make_record(event: ScenarioEvent, number: int, spec: ScenarioSpec) -> dict[str, Any]:
    """A record with all the fields an export has."""
    at, uploaded = (f"{moment:%Y-%m-%d %H:%M:%S.%f}" for moment in (event.at, event.at + UPLOADED_AFTER))
    own = spec.seed << 64 | SETS.index(spec.name) << 32 | number + 1
    nothing = (
        "adid", "amplitude_attribution_ids", "amplitude_event_type", "device_brand", "device_carrier",
        "device_manufacturer", "dma", "idfa", "location_lat", "location_lng", "partner_id", "paying", "sample_rate",
        "source_id", "start_version", "user_creation_time", "version_name",
    )  # fmt: skip
    return dict.fromkeys(nothing) | {
        "$insert_id": f"scenario-{spec.name}-{spec.seed}-{number:03}",
        "$insert_key": None,
        "$schema": None,
        "amplitude_id": 100_000_000 + number,
        "app": APP,
        "city": "Lisbon",
        "client_event_time": at,
        "client_upload_time": uploaded,
        "country": "Portugal",
        "data": {},
        "data_type": "event",
        "device_family": "Windows",
        "device_id": event.device_id,
        "device_model": "Windows",
        "device_type": "Windows",
        "event_id": number + 1,
        "event_properties": {"scenario": event.scenario, "step": number},
        "event_time": at,
        "event_type": event.event_type,
        "global_user_properties": {},
        "group_properties": {},
        "groups": {},
        "ip_address": "192.0.2.1",
        "is_attribution_event": None,
        "language": "Portuguese",
        "library": "amplitude-python/1.3.0",
        "os_name": "Chrome",
        "os_version": "124",
        "plan": {},
        "platform": "Web",
        "processed_time": uploaded,
        "region": "Lisbon",
        "server_received_time": uploaded,
        "server_upload_time": uploaded,
        "session_id": -1,
        "user_id": event.user_id,
        "user_properties": {"initial_referrer": "EMPTY", "initial_utm_source": "newsletter", "plan": "free"},
        "uuid": str(UUID(int=own & (1 << 122) - 1, version=4)),
    }


def count_pairs(events: list[ScenarioEvent]) -> int:
    """Distinct pairs of user and device, trimmed, of those that have both."""
    trimmed = {((event.user_id or "").strip(), (event.device_id or "").strip()) for event in events}
    return sum(bool(user and device) for user, device in trimmed)


def _answer(spec: ScenarioSpec, events: list[ScenarioEvent]) -> Answers:
    count = len(events)
    months = Counter((f"{event.at:%Y-%m}", event.event_type) for event in events)
    scenarios = Counter(f"scenario_{event.scenario}" for event in events)
    return Answers(
        format="amplitude",
        count=count,
        seed=spec.seed,
        lines=count,
        staged=count,
        loaded=count,
        duplicate=0,
        conflict=0,
        rejected=0,
        rejects_by_reason={},
        sanitised=0,
        naive_times=0,
        times_differ=0,
        unknown_properties={},
        first_at=_write(events[0].at),
        last_at=_write(events[-1].at),
        months=[MonthCount(month, kind, n) for (month, kind), n in sorted(months.items())],
        files=[],
        planted=dict(sorted(scenarios.items())),
        derived=count_pairs(events),
    )


def _write(at: datetime) -> str:
    return f"{at.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
