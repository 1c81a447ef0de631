"""Generates exports of email engagement: simulated people, written in order of time, with odd records and a key."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import numpy as np

from hindcast.synthetic.draws import Integers
from hindcast.synthetic.email_odd import KINDS as ODD_KINDS
from hindcast.synthetic.email_personas import FULL_PEOPLE
from hindcast.synthetic.email_records import (
    PHONE,
    address_of,
    make_event_ids,
    names_of,
    phone_of,
    write_record,
)
from hindcast.synthetic.email_simulation import KINDS, History, simulate
from hindcast.synthetic.output import write_answers, write_export
from hindcast.synthetic.planted import LOADED, Source
from hindcast.synthetic.spec import Answers, GenerateSpec
from hindcast.synthetic.tally import Tally

START, END = datetime(2025, 10, 1, tzinfo=UTC), datetime(2026, 1, 10, tzinfo=UTC)  # 101 days
ODD_EVERY: Final = 97  # ordinary records to an odd one
BLOCK_RECORDS: Final = 10_000
GENERATED_AFTER_MS: Final = 3_600_000  # the export was made an hour after its window


@dataclass(frozen=True)
class EmailExport:
    """A simulated history and the order its events are written in; `odd` records come in between."""

    history: History
    order: Integers
    odd: int
    seed: int
    window_ms: tuple[int, int]

    @property
    def count(self) -> int:
        """Records in all."""
        return len(self.history) + self.odd


def plan_export(seed: int, start: datetime, end: datetime, count: int | None, defects: bool = True) -> EmailExport:
    """Simulate the full history of all personas, or exactly `count` records by as many people as that takes."""
    window_ms = _in_ms(start), _in_ms(end)
    if count is None:
        history = simulate(seed, *window_ms, FULL_PEOPLE)
        odd = len(history) // ODD_EVERY if defects else 0
    else:
        odd = count // (ODD_EVERY + 1) if defects else 0
        history = simulate(seed, *window_ms, 0, count - odd)
    order = np.lexsort((np.frombuffer(history.kind, np.int8), np.frombuffer(history.at_ms, np.int64)))
    return EmailExport(history, order, odd, seed, window_ms)


def generate_email_engagement(spec: GenerateSpec) -> Answers:
    """Write the export and its answer key; both are complete or absent, whatever happens on the way."""
    return write_planned(spec, plan_export(spec.seed, spec.start, spec.end, spec.count, spec.defects))


def write_planned(spec: GenerateSpec, planned: EmailExport) -> Answers:
    """Write an export already simulated for this spec."""
    tally = Tally()
    files = write_export(spec, _make_blocks(spec, planned, tally))
    _count_ordinary(planned.history, tally)
    answers = replace(tally.answers(spec, files), people=count_people(planned.history))
    write_answers(spec.out, answers)
    return answers


def count_people(history: History) -> int:
    """Distinct persons that the records tell apart: records of one person may share no identifier."""
    seen: dict[int, set[int]] = {}
    for message in np.unique(np.frombuffer(history.message, np.int32)).tolist():
        seen.setdefault(history.person[message], set()).add(names_of(history, message))
    return sum(len(_join(names)) for names in seen.values())


def _join(names: set[int]) -> list[int]:
    joined: list[int] = []
    for bits in names:
        apart = [group for group in joined if not group & bits]
        for group in joined:
            bits |= group if group & bits else 0
        joined = [*apart, bits]
    return joined


def _make_blocks(spec: GenerateSpec, planned: EmailExport, tally: Tally) -> Iterator[list[str]]:
    history, generated_ms = planned.history, planned.window_ms[1] + GENERATED_AFTER_MS
    odd_ids = iter(make_event_ids(len(history), planned.odd, spec.seed, generated_ms))
    made = 0
    for first in range(0, len(history), BLOCK_RECORDS):
        events = planned.order[first : first + BLOCK_RECORDS].tolist()
        ids = make_event_ids(first, len(events), spec.seed, generated_ms)
        lines: list[str] = []
        for place, (event, event_id) in enumerate(zip(events, ids, strict=True), start=first):
            lines.append(write_record(history, event, event_id))
            if place % ODD_EVERY == ODD_EVERY // 2 and made < planned.odd:
                lines.append(_plant(planned, event, lines[-1], made, next(odd_ids), tally))
                made += 1
        yield lines
        if spec.progress is not None:
            spec.progress(first + len(events) + made)


def _plant(planned: EmailExport, event: int, text: str, number: int, new_id: str, tally: Tally) -> str:
    history = planned.history
    make = ODD_KINDS[number % len(ODD_KINDS)]
    message = history.message[event]
    if make.__name__ == "in_subject" and not names_of(history, message) & PHONE:
        make = ODD_KINDS[(number + 3) % len(ODD_KINDS)]  # a number beside it would join what the books keep apart
    source = Source(text, history.at_ms[event], KINDS[history.kind[event]], number, planned.window_ms)
    person = history.person[message]
    planted = make(source, new_id, address_of(person), phone_of(person))
    tally.add_planted(make.__name__, planted)
    return planted.text


def _count_ordinary(history: History, tally: Tally) -> None:
    at_ms, kinds = np.frombuffer(history.at_ms, np.int64), np.frombuffer(history.kind, np.int8)
    tally.verdicts[LOADED] += len(history)
    tally.naive_times += len(history)
    tally.span(int(at_ms.min()), int(at_ms.max()))
    months = at_ms.view("datetime64[ms]").astype("datetime64[M]").astype(np.int64) * len(KINDS) + kinds
    for key, count in zip(*map(np.ndarray.tolist, np.unique(months, return_counts=True)), strict=True):
        tally.months[key // len(KINDS), KINDS[key % len(KINDS)]] += count


def _in_ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
