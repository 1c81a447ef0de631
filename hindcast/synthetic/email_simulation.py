"""A person's time with messages: sends, what becomes of them, hot paths that raise the chance of an open, and
circuit breakers that stop sends. Every draw is a plain random number of a generator of the person's own."""

import math
from array import array
from bisect import bisect
from dataclasses import dataclass, field
from functools import lru_cache
from heapq import heapify, heappop, heappush
from itertools import accumulate
from random import Random
from typing import Final

from hindcast.synthetic.email_personas import (
    CAMPAIGNS,
    ESPS,
    FATIGUE,
    GOODBYE_HOURS,
    OTHER_DAY,
    PERSONAS,
    SLOTS,
    TICKET_HOURS,
    hot_factor,
    latency_factor,
)

KINDS: Final = ("sent", "delivered", "bounced", "opened", "clicked", "unsubscribed", "marked_spam")
SENT, DELIVERED, BOUNCED, OPENED, CLICKED, UNSUBSCRIBED, MARKED_SPAM = range(7)
VISIT, CART, TICKET, SEND, UNSUBSCRIBE, SPAM = range(6)
TRIGGERS: Final = ("", "site_visit", "add_to_cart")
BREAKERS: Final = ("", "support_ticket", "unsubscribed", "marked_spam")

SENDS_A_DAY, MOST_SENDS_A_DAY = 6.4 / 7, 3
DELIVERED_SHARE: Final = 0.99
OPEN_DELAY_MINUTES, LONGEST_OPEN_DELAY_MINUTES = 120, 2880
# The source gives no rates for these; chosen so that each happens often enough to be seen in a full history.
VISITS_A_DAY, CARTS_A_DAY, TICKETS_A_DAY = 0.20, 0.06, 0.008
REMINDER_CHANCE: Final = 0.5  # that a visit or cart brings one message more, if the day has room
UNSUBSCRIBE_CHANCE, SPAM_CHANCE, BOT_CHANCE = 0.004, 0.0015, 0.02
OPEN_CANDIDATES: Final = 6  # moments an opener chooses among, by the persona's weights

DAY_MS, HOUR_MS, MINUTE_MS = 86_400_000, 3_600_000, 60_000


@dataclass
class History:
    """Events and the messages they belong to, as columns: an event's `message` is a row of the messages."""

    at_ms: "array[int]" = field(default_factory=lambda: array("q"))
    kind: "array[int]" = field(default_factory=lambda: array("b"))
    message: "array[int]" = field(default_factory=lambda: array("i"))
    is_bot: "array[int]" = field(default_factory=lambda: array("b"))
    person: "array[int]" = field(default_factory=lambda: array("i"))
    sent_ms: "array[int]" = field(default_factory=lambda: array("q"))
    esp: "array[int]" = field(default_factory=lambda: array("b"))
    campaign: "array[int]" = field(default_factory=lambda: array("b"))
    latency_ms: "array[int]" = field(default_factory=lambda: array("i"))
    bounce: "array[int]" = field(default_factory=lambda: array("b"))  # 1 hard, 2 soft
    trigger: "array[int]" = field(default_factory=lambda: array("b"))
    trigger_minutes: "array[float]" = field(default_factory=lambda: array("f"))
    resumed_after: "array[int]" = field(default_factory=lambda: array("b"))
    fatigue: "array[int]" = field(default_factory=lambda: array("b"))
    open_chance: "array[float]" = field(default_factory=lambda: array("d"))
    draw: "array[int]" = field(default_factory=lambda: array("i"))  # 16 bits for how the message's records look
    people: int = 0
    suppressed: "array[int]" = field(default_factory=lambda: array("i", [0] * len(PERSONAS)))
    tickets: "array[int]" = field(default_factory=lambda: array("i", [0] * len(PERSONAS)))
    visits: "array[int]" = field(default_factory=lambda: array("i", [0] * len(PERSONAS)))

    def __len__(self) -> int:
        return len(self.at_ms)

    def add_event(self, at_ms: int, kind: int, message: int, is_bot: int = 0) -> None:
        """Append an event."""
        self.at_ms.append(at_ms)
        self.kind.append(kind)
        self.message.append(message)
        self.is_bot.append(is_bot)

    def cut(self, size: int, since: int) -> None:
        """Keep `size` events: of those from place `since` on, the earliest."""
        order = sorted(range(since, len(self)), key=lambda n: (self.at_ms[n], self.kind[n]))[: size - since]
        for column in (self.at_ms, self.kind, self.message, self.is_bot):
            kept = [column[n] for n in order]
            del column[since:]
            column.extend(kept)


def has_phone(person: int) -> bool:
    """True for the three of five people whose phone is known."""
    return person % 5 < 3


def is_customer(person: int) -> bool:
    """True for the four of seven people who have bought, and have the shop's app."""
    return person % 7 < 4


def simulate(seed: int, start_ms: int, end_ms: int, people: int, size: int | None = None) -> History:
    """Simulate so many people, or, when a size is given, as many as it takes for exactly so many events."""
    history = History()
    while history.people < people if size is None else len(history) < size:
        before = len(history)
        _Person(history, history.people, seed, start_ms, end_ms).live()
        history.people += 1
        if size is not None and len(history) > size:
            history.cut(size, before)
    return history


@lru_cache(maxsize=16)
def _weights(persona: int) -> tuple[list[float], list[float]]:
    """Cumulative weights of the hours of a day and the minutes of an hour."""
    kind = PERSONAS[persona]
    hours = accumulate(kind.hour_weight(hour) for hour in range(24))
    return list(hours), list(accumulate(kind.minute_weight(minute) for minute in range(60)))


class _Person:
    def __init__(self, history: History, number: int, seed: int, start_ms: int, end_ms: int) -> None:
        self._history, self._number = history, number
        self._start_ms, self._end_ms = start_ms, end_ms
        self._slot = SLOTS[number % len(SLOTS)]
        self._persona = PERSONAS[self._slot]
        self._draw = Random(f"{seed}:{number}").random
        self._main_esp = bisect((0.4, 0.7, 0.9), self._draw())
        self._has_phone, self._has_app = has_phone(number), is_customer(number)
        self._recent: list[int] = []
        self._trigger, self._trigger_ms = 0, -DAY_MS
        self._breaker, self._paused_until = 0, 0

    def live(self) -> None:
        """Go through the person's time; what happens later is put on the agenda while going."""
        agenda = self._plan()
        heapify(agenda)
        while agenda:
            at_ms, kind, message = heappop(agenda)
            if at_ms >= self._end_ms:
                continue
            if kind in (VISIT, CART):
                self._trigger, self._trigger_ms = kind + 1, at_ms
                self._history.visits[self._slot] += 1
            elif kind == TICKET:
                self._history.tickets[self._slot] += 1
                self._stop(at_ms, 1, TICKET_HOURS)
            elif kind == SEND:
                self._send(at_ms, agenda)
            else:
                is_spam = kind == SPAM
                self._history.add_event(at_ms, MARKED_SPAM if is_spam else UNSUBSCRIBED, message)
                self._stop(at_ms, 3 if is_spam else 2, GOODBYE_HOURS)

    def _plan(self) -> list[tuple[int, int, int]]:
        agenda: list[tuple[int, int, int]] = []
        for day_ms in range(self._start_ms, self._end_ms, DAY_MS):
            triggers = [
                (self._moment(day_ms), kind, 0)
                for kind, rate in ((VISIT, VISITS_A_DAY), (CART, CARTS_A_DAY))
                for _ in range(self._poisson(rate))
            ]
            sends = [self._moment(day_ms) for _ in range(min(MOST_SENDS_A_DAY, self._poisson(SENDS_A_DAY)))]
            for at_ms, _, _ in triggers[: MOST_SENDS_A_DAY - len(sends)]:
                if self._draw() < REMINDER_CHANCE:
                    sends.append(at_ms + int((2 + 20 * self._draw()) * MINUTE_MS))
            agenda += triggers
            agenda += [(at_ms, SEND, 0) for at_ms in sends]
            agenda += [(self._moment(day_ms), TICKET, 0) for _ in range(self._poisson(TICKETS_A_DAY))]
        return agenda

    def _stop(self, at_ms: int, breaker: int, hours: int) -> None:
        if at_ms + hours * HOUR_MS > self._paused_until:
            self._breaker, self._paused_until = breaker, at_ms + hours * HOUR_MS

    def _send(self, at_ms: int, agenda: list[tuple[int, int, int]]) -> None:
        history, draw = self._history, self._draw
        if at_ms < self._paused_until:
            history.suppressed[self._slot] += 1
            return
        self._recent = [sent for sent in self._recent if at_ms - sent < DAY_MS]
        message, esp = len(history.person), self._choose_esp()
        latency_ms = self._latency(esp, at_ms)
        minutes = (at_ms - self._trigger_ms) / MINUTE_MS
        is_hot = hot_factor(minutes) > 1
        fatigue = min(len(self._recent), len(FATIGUE) - 1)
        chance = min(0.98, self._persona.open * FATIGUE[fatigue] * hot_factor(minutes))
        is_delivered = draw() < DELIVERED_SHARE
        history.person.append(self._number)
        history.sent_ms.append(at_ms)
        history.esp.append(esp)
        history.campaign.append(CAMPAIGNS.index("Cart reminder") if is_hot else int(draw() * len(CAMPAIGNS)))
        history.latency_ms.append(latency_ms)
        history.bounce.append(0 if is_delivered else 1 + (draw() < 0.7))
        history.trigger.append(self._trigger if is_hot else 0)
        history.trigger_minutes.append(minutes if is_hot else 0)
        history.resumed_after.append(self._breaker)
        history.fatigue.append(fatigue)
        history.open_chance.append(chance)
        history.draw.append(int(draw() * 65536))
        self._recent.append(at_ms)
        self._breaker = 0
        history.add_event(at_ms, SENT, message)
        if at_ms + latency_ms < self._end_ms:
            history.add_event(at_ms + latency_ms, DELIVERED if is_delivered else BOUNCED, message)
            if is_delivered:
                self._receive(at_ms + latency_ms, message, chance, agenda)

    def _receive(self, at_ms: int, message: int, chance: float, agenda: list[tuple[int, int, int]]) -> None:
        history, draw = self._history, self._draw
        if ESPS[history.esp[message]].channel == "email" and draw() < BOT_CHANCE:
            self._happen(at_ms + int(1 + 1900 * draw()), OPENED, message, 1)
        if draw() >= chance:
            return
        opened_ms = self._choose_open(at_ms)
        self._happen(opened_ms, OPENED, message)
        if draw() < self._persona.click:
            self._happen(opened_ms + int((1 + 59 * draw()) * MINUTE_MS), CLICKED, message)
        goodbye = draw()
        if goodbye < UNSUBSCRIBE_CHANCE + SPAM_CHANCE:
            after_ms = opened_ms + int((0.2 + 5 * draw()) * MINUTE_MS)
            heappush(agenda, (after_ms, UNSUBSCRIBE if goodbye < UNSUBSCRIBE_CHANCE else SPAM, message))

    def _happen(self, at_ms: int, kind: int, message: int, is_bot: int = 0) -> None:
        if at_ms < self._end_ms:
            self._history.add_event(at_ms, kind, message, is_bot)

    def _choose_esp(self) -> int:
        channel = self._draw()
        if channel < 0.12 and self._has_phone:
            return 4 + (self._draw() < 0.3)
        if 0.12 <= channel < 0.22 and self._has_app:
            return 6 + (self._draw() < 0.4)
        return self._main_esp if self._draw() < 0.9 else int(self._draw() * 4)

    def _latency(self, esp: int, at_ms: int) -> int:
        kind, (weekday, hour, minute) = ESPS[esp], _clock(at_ms)
        normal = math.sqrt(-2 * math.log(1 - self._draw())) * math.cos(2 * math.pi * self._draw())
        seconds = math.exp(kind.mean + kind.sigma * normal)
        seconds *= latency_factor(kind.channel, weekday, hour, minute, self._draw())
        return int(min(kind.longest, seconds) * 1000)

    def _moment(self, day_ms: int) -> int:
        """A moment of a day by the persona's hours and minutes."""
        hours, minutes = _weights(self._slot)
        hour = bisect(hours, self._draw() * hours[-1])
        minute = bisect(minutes, self._draw() * minutes[-1])
        return day_ms + hour * HOUR_MS + minute * MINUTE_MS + int(self._draw() * MINUTE_MS)

    def _choose_open(self, delivered_ms: int) -> int:
        """One of some moments after exponential delays, by the weights of their day, hour and minute."""
        persona, draw = self._persona, self._draw
        moments, weights = [], []
        for _ in range(OPEN_CANDIDATES):
            minutes = min(LONGEST_OPEN_DELAY_MINUTES, -OPEN_DELAY_MINUTES * math.log(1 - draw()))
            at_ms = delivered_ms + max(2_500, int(minutes * MINUTE_MS))
            weekday, hour, minute = _clock(at_ms)
            on_day = 1.0 if weekday in persona.days else OTHER_DAY
            moments.append(at_ms)
            weights.append(on_day * persona.hour_weight(hour) * persona.minute_weight(minute))
        total = list(accumulate(weights))
        return moments[bisect(total, draw() * total[-1])]

    def _poisson(self, mean: float) -> int:
        limit, product, count = math.exp(-mean), self._draw(), 0
        while product > limit:
            product *= self._draw()
            count += 1
        return count


def _clock(at_ms: int) -> tuple[int, int, int]:
    """Weekday (Monday is 0), hour and minute of an instant in UTC; 1970 began on a Thursday."""
    minutes = at_ms // MINUTE_MS
    return (minutes // 1440 + 3) % 7, minutes // 60 % 24, minutes % 60
