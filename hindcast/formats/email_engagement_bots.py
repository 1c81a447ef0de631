"""Opens that no person made: mail scanners, image proxies and privacy relays fetch the picture that counts opens."""

import re
from datetime import datetime
from typing import Any, Final

from hindcast.errors import RecordError
from hindcast.times import parse_time

FASTEST_PERSON_SECONDS: Final = 2.0
PROXY_NETWORKS: Final = ("17.", "66.102.", "66.249.")  # Apple's and Google's image proxies

_BOT: Final = re.compile("bot|crawler|spider", re.IGNORECASE)


def suspect_bot(event_type: str, user_agent: str | None, payload: dict[str, Any], moment: datetime) -> list[str]:
    """Reasons to think that an open was a machine's; empty for other events and for people."""
    if event_type != "opened":
        return []
    agent, ip_address = user_agent or "", payload.get("ip_address")
    seconds = _seconds_since_delivery(payload, moment)
    reasons = {
        "user_agent": bool(_BOT.search(agent)),
        "mail_app": "AppleWebKit" in agent and "Mail/" in agent,
        "ip_address": isinstance(ip_address, str) and ip_address.strip().startswith(PROXY_NETWORKS),
        "fast_open": seconds is not None and 0 <= seconds < FASTEST_PERSON_SECONDS,
    }
    return [reason for reason, applies in reasons.items() if applies]


def _seconds_since_delivery(payload: dict[str, Any], moment: datetime) -> float | None:
    """What the record itself says: `metadata.seconds_since_delivery`, else `delivered_at` beside or inside metadata."""
    metadata = payload.get("metadata")
    inside = metadata if isinstance(metadata, dict) else {}
    seconds = inside.get("seconds_since_delivery")
    if isinstance(seconds, int | float) and not isinstance(seconds, bool):
        return float(seconds) if abs(seconds) < 1e15 else None
    delivered = payload.get("delivered_at") or inside.get("delivered_at")
    if not delivered:
        return None
    try:
        return (moment - parse_time(delivered)[0]).total_seconds()
    except RecordError:
        return None
