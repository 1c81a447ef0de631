"""What a simulated history holds: by persona, by ESP, by what raised or stopped messages."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from hindcast.synthetic.email_personas import ESPS, FATIGUE, PERSONAS, SLOTS
from hindcast.synthetic.email_simulation import BREAKERS, CLICKED, DELIVERED, KINDS, OPENED, TRIGGERS, History


@dataclass
class PersonaFigures:
    """Of one persona: people, events by kind, opens by people, and the opens its messages' chances add up to."""

    people: int = 0
    events: Counter[str] = field(default_factory=Counter)
    opened_by_people: int = 0
    expected_opens: float = 0.0
    variance: float = 0.0


def count_personas(history: History) -> list[PersonaFigures]:
    """Figures by persona, in the order of PERSONAS."""
    figures = [PersonaFigures() for _ in PERSONAS]
    for person in range(history.people):
        figures[SLOTS[person % len(SLOTS)]].people += 1
    for place in range(len(history)):
        message, kind = history.message[place], history.kind[place]
        found = figures[SLOTS[history.person[message] % len(SLOTS)]]
        found.events[KINDS[kind]] += 1
        found.opened_by_people += kind == OPENED and not history.is_bot[place]
        if kind == DELIVERED:
            chance = history.open_chance[message]
            found.expected_opens += chance
            found.variance += chance * (1 - chance)
    return figures


def summarise(history: History) -> str:
    """The figures as text, a line a persona and an ESP."""
    lines = [
        f"{history.people:,} people, {len(history):,} events, {len(history.person):,} messages",
        f"{'persona':<16}{'people':>7}{'sent':>8}{'opened':>8}{'clicked':>8}"
        f"{'open rate':>11}{'expected':>10}{'stopped':>9}",
    ]
    for persona, found, stopped in zip(PERSONAS, count_personas(history), history.suppressed, strict=True):
        delivered = max(found.events["delivered"], 1)
        lines.append(
            f"{persona.name:<16}{found.people:>7,}{found.events['sent']:>8,}{found.opened_by_people:>8,}"
            f"{found.events['clicked']:>8,}{found.opened_by_people / delivered:>11.3f}"
            f"{found.expected_opens / delivered:>10.3f}{stopped:>9,}"
        )
    lines += ["", f"{'esp':<16}{'channel':<9}{'messages':>9}{'p50 s':>9}{'p95 s':>9}"]
    esps, latencies = np.array(history.esp), np.array(history.latency_ms)
    for number, esp in enumerate(ESPS):
        taken = latencies[esps == number] / 1000
        if len(taken):
            p50, p95 = np.percentile(taken, (50, 95))
            lines.append(f"{esp.name:<16}{esp.channel:<9}{len(taken):>9,}{p50:>9.2f}{p95:>9.2f}")
    lines += ["", *_events(history), *_causes(history)]
    return "\n".join(lines)


def _events(history: History) -> list[str]:
    counted = Counter(history.kind)
    return [f"{name:<16}{counted[kind]:>9,}" for kind, name in enumerate(KINDS)]


def _causes(history: History) -> list[str]:
    hot, resumed, tired = Counter(history.trigger), Counter(history.resumed_after), Counter(history.fatigue)
    opened = {message for message, kind in zip(history.message, history.kind, strict=True) if kind in (OPENED, CLICKED)}
    of_hot = sum(message in opened for message, trigger in enumerate(history.trigger) if trigger)
    return [
        "",
        f"hot paths: {sum(history.visits):,} visits and carts; messages within 30 minutes: "
        + ", ".join(f"{hot[n]:,} after {name}" for n, name in enumerate(TRIGGERS) if n)
        + f"; {of_hot:,} of them opened",
        f"circuit breakers: {sum(history.tickets):,} support tickets; {sum(history.suppressed):,} messages not sent; "
        + ", ".join(f"{resumed[n]:,} resumed after {name}" for n, name in enumerate(BREAKERS) if n),
        "messages by sends in the 24 hours before: "
        + ", ".join(f"{n}{'+' * (n == len(FATIGUE) - 1)}: {tired[n]:,}" for n in range(len(FATIGUE))),
    ]
