"""Sending test events to Amplitude with its own client."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from hindcast.errors import ConfigurationError
from hindcast.settings import Settings
from hindcast.synthetic.amplitude_scenarios import ScenarioEvent

ID_LENGTH: Final = 1  # Amplitude refuses ids of fewer than five characters unless told otherwise
PATIENCE_SECONDS: Final = 30


@dataclass
class Delivery:
    """What became of the events: how many were sent, and why others were not."""

    sent: int = 0
    failed: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


def send_events(
    events: Sequence[ScenarioEvent], settings: Settings, name: str, advance: Callable[[int], None] = lambda done: None
) -> Delivery:
    """Send events and wait until each was accepted or refused.

    Sent again under the same `name` they are no duplicates to Amplitude. Raises ConfigurationError when there is no
    key. Of events without any usable id Amplitude wants nothing: they fail.
    """
    from amplitude import Amplitude, BaseEvent, Config  # slow to import

    key = settings.amplitude_api_key
    if key is None:
        raise ConfigurationError("AMPLITUDE_API_KEY: not set, and --send needs it")
    delivery = Delivery()

    def note(event: BaseEvent, code: int, message: str | None) -> None:
        if code == 200:
            delivery.sent += 1
        else:
            delivery.failed += 1
            delivery.reasons[f"{code}: {(message or '')[:200].replace(key.get_secret_value(), '…')}"] += 1
        advance(delivery.sent + delivery.failed)

    client = Amplitude(
        key.get_secret_value(),
        Config(
            flush_queue_size=50,
            flush_interval_millis=200,
            flush_max_retries=5,
            min_id_length=ID_LENGTH,
            server_zone=settings.amplitude_cluster.upper(),
            server_url=settings.amplitude_server_url or None,
            callback=note,
            logger=_quiet_logger(),
        ),
    )
    try:
        for number, event in enumerate(events):
            client.track(
                BaseEvent(
                    event.event_type,
                    user_id=event.user_id,
                    device_id=event.device_id,
                    time=int(event.at.timestamp() * 1000),
                    event_properties={"scenario": event.scenario, "step": number},
                    insert_id=f"scenario-{name}-{number:03}",
                )
            )
        _await_answers(client, delivery, len(events))
    finally:
        client.shutdown()
    missing = len(events) - delivery.sent - delivery.failed
    if missing:
        delivery.failed += missing
        delivery.reasons[f"no answer within {PATIENCE_SECONDS} s; run again, nothing is counted twice"] += missing
    return delivery


def _await_answers(client: Any, delivery: Delivery, count: int) -> None:
    """Wait for every answer, as long as some still come: what is retried is in no flush's futures."""
    known, deadline = 0, time.monotonic() + PATIENCE_SECONDS
    while delivery.sent + delivery.failed < count and time.monotonic() < deadline:
        client.flush()
        time.sleep(0.05)
        if delivery.sent + delivery.failed > known:
            known, deadline = delivery.sent + delivery.failed, time.monotonic() + PATIENCE_SECONDS


def _quiet_logger() -> logging.Logger:
    """The client logs whole requests, key included: none of that is wanted."""
    logger = logging.getLogger("hindcast.amplitude.client")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger
