"""The seven scenarios that try out identify events: 45 events and 30 pairs as documented, 48 and 33 as once written.

Minutes are within a day of 24 hours; in a longer window the day is its first, in a shorter one it is compressed.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from hindcast.errors import ConfigurationError

SETS = ("documented", "original")
DAY = timedelta(days=1)
LEAST = timedelta(seconds=1)
_STEP = timedelta(milliseconds=1)

_FIRST = (
    ("alice", "mobile_1"),
    ("bob", "laptop_2"),
    ("charlie", "tablet_3"),
    ("diana", "desktop_4"),
    ("eve", "smartwatch_5"),
)
_REPEATED = (("frank", "phone_1"), ("grace", "computer_2"), ("henry", "ipad_3"))
_DEVICES_OF_ONE = ("phone_morning", "laptop_work", "tablet_home", "smarttv_living")
_USERS_OF_ONE = ("parent_mom", "parent_dad", "child_alice", "child_bob")
_EDGES = (
    ("edge_unicode_用户", "edge_unicode_设备"),
    ("edge.email+tag@example.com", "edge:device:with:colons"),
    ("edge#user#hash", "edge.device.with.dots"),
    ("edge_long_user_" + "u" * 50, "edge_plain_device"),
    ("edge_plain_user", "edge_long_device_" + "d" * 50),
    ("  edge_padded_user  ", "  edge_padded_device  "),
    ("1234567890", "9876543210"),
    ("edgeCamelCaseUser", "edge-kebab-case-device"),
)
_ANONYMOUS = ("phone_1", "laptop_2", "tablet_3")
_JOURNEY_MINUTES = (0, 120, 240, 300, 600, 720)
_JOURNEY_TYPES = ("app_opened", "product_viewed", "cart_updated", "checkout_started", "order_placed", "order_reviewed")
_JOURNEY_DEVICES = {
    "documented": ("phone", "phone", "laptop", "laptop", "tablet", "tablet"),
    "original": ("phone_morning", "laptop_work", "tablet_lunch", "desktop_office", "phone_evening", "smarttv_home"),
}
_BLANK = (
    (None, "blank_device_1"),
    ("", "blank_device_2"),
    ("   ", "blank_device_3"),
    ("blank_user_4", None),
    ("blank_user_5", " "),
)


@dataclass(frozen=True)
class ScenarioEvent:
    """One event of a scenario; ids are as the export has them."""

    scenario: int
    at: datetime
    event_type: str
    user_id: str | None
    device_id: str | None


def scenario_events(name: str, start: datetime, end: datetime, with_blank_ids: bool = False) -> list[ScenarioEvent]:
    """The events of a set in `[start, end)`, their times strictly increasing.

    Raises ConfigurationError for a set there is none of, and a window too short for its events.
    """
    if name not in SETS:
        raise ConfigurationError(f"set {name!r}: expected {' or '.join(SETS)}")
    if end - start < LEAST:
        raise ConfigurationError(f"window {start} to {end}: expected at least a second")
    drawn = _list_events(name)
    if with_blank_ids:
        drawn += [(8, 1380.0 + n, "edge_case", user, device) for n, (user, device) in enumerate(_BLANK)]
    drawn.sort(key=lambda event: event[1])
    span = min(end - start, DAY)
    times = [start + span * (minute / 1440) for _, minute, *_ in drawn]
    for index, (before, at) in enumerate(pairwise(times), start=1):
        if at <= before:
            times[index] = times[index - 1] + _STEP
    return [
        ScenarioEvent(scenario, at, event_type, user, device)
        for at, (scenario, _, event_type, user, device) in zip(times, drawn, strict=True)
    ]


def _list_events(name: str) -> list[tuple[int, float, str, str | None, str | None]]:
    """Scenario, minute of the day, type, user and device; no two at one time."""
    found: list[tuple[int, float, str, str | None, str | None]] = []
    for n, (user, device) in enumerate(_FIRST):
        found.append((1, 30.0 + n, "page_viewed", f"first_time_user_{user}", f"first_time_device_{device}"))
    for n, (user, device) in enumerate(_REPEATED):
        found += [
            (2, 60.0 + n + minute, "button_clicked", f"duplicate_user_{user}", f"duplicate_device_{device}")
            for minute in (0, 5, 10)
        ]
    for n, device in enumerate(_DEVICES_OF_ONE):
        found.append((3, 120.5 + 60 * n, "content_viewed", "multi_device_user_sarah", f"multi_dev_{device}"))
    for n, user in enumerate(_USERS_OF_ONE):
        found.append((4, 135.5 + 60 * n, "video_played", f"shared_device_{user}", "shared_family_tablet_main"))
    for n, (edge_user, edge_device) in enumerate(_EDGES):
        found.append((5, 450.5 + n, "edge_case", edge_user, edge_device))
    before = 1 if name == "documented" else 2
    for n, device in enumerate(_ANONYMOUS):
        steps: list[tuple[str, str | None]] = [("page_viewed", None)] * before
        steps += [("user_login", f"identified_user_{n + 1}"), ("purchase_completed", f"identified_user_{n + 1}")]
        for step, (event_type, anonymous_user) in enumerate(steps):
            found.append((6, 480.5 + 10 * n + step, event_type, anonymous_user, f"anon_device_{device}"))
    journey = zip(_JOURNEY_MINUTES, _JOURNEY_TYPES, _JOURNEY_DEVICES[name], strict=True)
    for minute, event_type, device in journey:
        found.append((7, 600.25 + minute, event_type, "journey_user_alex", f"journey_device_{device}"))
    return found
