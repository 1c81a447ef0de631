"""Who receives messages and when they read: the nine personas, their ESPs, and what decides a moment's weight."""

import math
from dataclasses import dataclass
from typing import Final

EVERY_HOUR: Final = tuple(range(24))
WORKDAYS, EVERY_DAY = (0, 1, 2, 3, 4), (0, 1, 2, 3, 4, 5, 6)  # Monday is 0
PEAK, NEAR, OTHER = 1.0, 0.5, 0.1
PEAK_MINUTE, EDGE_MINUTE = 1.3, 0.7
OTHER_DAY: Final = 0.3  # ours: the source names the days, not what the others weigh
FATIGUE: Final = (1.0, 0.95, 0.85, 0.60)  # by messages sent in the last 24 hours, the last for three and more
HOT_MINUTES, HOT_FADE_MINUTES = 30, 15
TICKET_HOURS, GOODBYE_HOURS = 48, 168
CAMPAIGNS: Final = (
    "Weekly digest", "New arrivals", "Flash sale", "Back in stock", "Loyalty points", "Seasonal guide",
    "Cart reminder", "Product tips",
)  # fmt: skip


@dataclass(frozen=True)
class Persona:
    """A kind of reader. `hours` and `minutes` are its peaks, `click` the chance of a click once opened."""

    name: str
    people: int
    hours: tuple[int, ...]
    minutes: tuple[int, ...]
    days: tuple[int, ...]
    click: float
    open: float

    def hour_weight(self, hour: int) -> float:
        """Weight of an hour: a peak, near one, or another."""
        if hour in self.hours:
            return PEAK
        return NEAR if any((hour + step) % 24 in self.hours for step in (-1, 1)) else OTHER

    def minute_weight(self, minute: int) -> float:
        """Weight of a minute of the hour; the first two and the last are when everybody sends."""
        if minute in self.minutes:
            return PEAK_MINUTE
        return EDGE_MINUTE if minute in (0, 1, 59) else 1.0


PERSONAS: Final = (
    Persona("morning_person", 50, (7, 8, 9), (15, 22, 38, 47), WORKDAYS, 0.15, 0.35),
    Persona("evening_person", 50, (18, 19, 20, 21), (5, 18, 33, 52), EVERY_DAY, 0.18, 0.40),
    Persona("night_owl", 30, (22, 23, 0, 1), (8, 23, 41, 57), (4, 5, 6), 0.12, 0.28),
    Persona("lunch_browser", 40, (12, 13), (12, 27, 38, 49), WORKDAYS, 0.20, 0.45),
    Persona("weekend_warrior", 35, (10, 11, 14, 15), (7, 19, 34, 51), (5, 6), 0.25, 0.50),
    Persona("commuter", 45, (8, 9, 17, 18), (14, 28, 42, 56), WORKDAYS, 0.16, 0.38),
    Persona("sporadic", 50, EVERY_HOUR, (), EVERY_DAY, 0.08, 0.20),
    Persona("highly_engaged", 20, (9, 10, 14, 15, 19, 20), (11, 23, 37, 49), EVERY_DAY, 0.35, 0.65),
    Persona("low_engaged", 30, (), (), EVERY_DAY, 0.03, 0.10),
)
FULL_PEOPLE: Final = sum(persona.people for persona in PERSONAS)
# The personas of the first 350 people, mixed, so that a few people are of every kind; then it begins again.
SLOTS: Final = tuple(
    index
    for _, index in sorted(
        ((place + 0.5) / persona.people, index)
        for index, persona in enumerate(PERSONAS)
        for place in range(persona.people)
    )
)


@dataclass(frozen=True)
class Esp:
    """A sender of messages. Latency is lognormal: mean and sigma of the logarithm of its seconds, at most `longest`."""

    name: str
    channel: str
    mean: float
    sigma: float
    longest: float


ESPS: Final = (
    Esp("klaviyo", "email", 2.5, 0.40, 900),
    Esp("sendgrid", "email", 2.3, 0.35, 900),
    Esp("mailchimp", "email", 2.7, 0.45, 900),
    Esp("braze", "email", 2.5, 0.40, 900),
    Esp("twilio", "sms", 0.5, 0.30, 120),
    Esp("messagebird", "sms", 0.6, 0.30, 120),
    Esp("onesignal", "push", 0.1, 0.20, 30),
    Esp("firebase", "push", 0.15, 0.20, 30),
)


def latency_factor(channel: str, weekday: int, hour: int, minute: int, draw: float) -> float:
    """How much slower than usual an ESP is at a moment; `draw` in [0, 1) places it within each range."""
    factor = 1.0
    if channel == "email" and minute <= 2:
        factor *= 3 + 3 * draw
    elif minute in (15, 30, 45):
        factor *= 1.3 + 0.5 * draw
    if hour in (8, 9, 18, 19):
        factor *= 1.5 + draw
    if weekday >= 5:
        factor *= 0.7
    if hour <= 5:
        factor *= 0.5
    return factor


def hot_factor(minutes: float) -> float:
    """How much likelier an open is so long after a site visit or a filled cart."""
    return 1 + math.exp(-minutes / HOT_FADE_MINUTES) if 0 <= minutes <= HOT_MINUTES else 1.0
