"""Ordinary records of a learning platform: numpy columns, then one text template a kind of event.

Learners come back (few of them often), keep their device, take a few of the courses, and are awake by day.
"""

from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from hindcast.synthetic.blocks import Block
from hindcast.synthetic.draws import Fractions, Integers, Texts, as_fractions, as_texts, draw_words, scramble, take_bits
from hindcast.synthetic.history_catalogue import (
    DEVICES,
    EVENT_TYPES,
    LESSONS_A_COURSE,
    SHAPES,
    course_fragments,
    device_fragments,
    lesson_fragments,
    page_fragments,
)
from hindcast.synthetic.spec import GenerateSpec
from hindcast.synthetic.traffic import TrafficCurve, to_ms

DAY_MS = 86_400_000
OWN_ID_SHARE = 102  # of 1024: about 10 % of records carry an id of their own
# Traffic by UTC hour, 0 to 23; the quiet hours are those the import itself is run in.
HOURS = (4, 3, 1, 1, 2, 3, 6, 10, 14, 17, 18, 17, 15, 15, 16, 17, 16, 15, 16, 18, 19, 16, 11, 7)
WEEKEND_SHARE = 0.6


class HistoryRecords:
    """Draws blocks of ordinary records; every record differs from every other by its request id."""

    def __init__(self, spec: GenerateSpec) -> None:
        self.seed = spec.seed
        self.count = spec.count
        self.learners = min(max(spec.count // 60, 20), 400_000)
        self.start_ms = to_ms(spec.start + timedelta(microseconds=999))  # rounded up: none before the start
        self.end_ms = to_ms(spec.end)
        self.traffic = TrafficCurve(self.start_ms, self.end_ms, weigh_hours)
        self.courses = as_texts(course_fragments())
        self.lessons = as_texts(lesson_fragments())
        self.pages = as_texts(page_fragments())
        self.devices = as_texts(device_fragments())
        self.shares = as_texts([f"{step / 100:g}" for step in range(101)])
        self.shape_of = np.repeat(np.arange(len(SHAPES)), [shape.weight for shape in SHAPES])
        self.type_of = np.array([EVENT_TYPES.index(shape.event_type) for shape in SHAPES], dtype=np.int64)

    def draw_block(self, number: int, first: int, size: int, own_ids: Integers) -> Block:
        """Make records `first` to `first + size`; those at offsets `own_ids` carry an own id in any case."""
        words = draw_words(self.seed, number, 0, (3, size))
        numbers = np.arange(first, first + size, dtype=np.int64)
        at_ms = self.traffic.times((numbers + as_fractions(words[2])) / self.count)
        shapes = self.shape_of[take_bits(words[0], 0, 10)]
        columns = self.columns(words, numbers, at_ms)
        owned = take_bits(words[1], 40, 10) < OWN_ID_SHARE
        owned[own_ids] = True
        texts = np.full(size, "", dtype=object)
        at_owned = np.flatnonzero(owned)
        own_words = scramble(numbers[at_owned], self.seed ^ 0x5DEECE66D).tolist()
        texts[at_owned] = [f'"event_id":"evt_{word:016x}",' for word in own_words]
        columns["own_id"] = texts
        lines = render_lines(shapes, columns)
        return Block(first, (self.start_ms, self.end_ms), at_ms, EVENT_TYPES, self.type_of[shapes], lines)

    def columns(
        self, words: NDArray[np.uint64], numbers: Integers, at_ms: Integers
    ) -> dict[str, Integers | NDArray[np.uint64] | Texts]:
        """Draw the columns the templates name; bits 40-49 of word 1 and 0-9 of word 0 are taken."""
        learner = (as_fractions(words[0]) ** 2 * self.learners).astype(np.int64)  # squared: few come often
        course = (learner * 7 + take_bits(words[1], 0, 2)) % len(self.courses)
        lesson = take_bits(words[1], 2, 8) % LESSONS_A_COURSE
        locale = learner % (len(self.devices) // len(DEVICES))
        device = (learner * 2_654_435_761 >> 7) % len(DEVICES) + len(DEVICES) * locale
        return {
            "learner": learner,
            "day": at_ms // DAY_MS,
            "course": self.courses[course],
            "lesson": self.lessons[course * LESSONS_A_COURSE + lesson],
            "page": self.pages[course],
            "device": self.devices[device],
            "progress": self.shares[take_bits(words[1], 10, 7) * 100 // 127],
            "seconds": 20 + take_bits(words[1], 17, 11),
            "score": self.shares[100 - take_bits(words[1], 28, 12) ** 2 // 200_000],
            "questions": 5 + take_bits(words[1], 50, 3),
            "video": take_bits(words[1], 53, 4),
            "request": scramble(numbers, self.seed),
            "time": np.datetime_as_string(at_ms.view("datetime64[ms]"), unit="ms").astype(object),
        }


def render_lines(shapes: Integers, columns: dict[str, Integers | NDArray[np.uint64] | Texts]) -> list[str]:
    """Fill each record's template; grouped by shape, so that a template meets only the columns it names."""
    lines = np.empty(len(shapes), dtype=object)
    for index, shape in enumerate(SHAPES):
        places = np.flatnonzero(shapes == index)
        fill = shape.template.__mod__
        lines[places] = [
            fill(row) for row in zip(*(columns[name][places].tolist() for name in shape.columns), strict=True)
        ]
    rendered: list[str] = lines.tolist()
    return rendered


def weigh_hours(hours: Integers) -> Fractions:
    """Return the traffic of each hour, counted from 1970, relative to others."""
    weights = np.array(HOURS, dtype=np.float64)[hours % 24]
    weights[(hours // 24 + 3) % 7 >= 5] *= WEEKEND_SHARE  # day 0, 1970-01-01, was a Thursday
    return weights
