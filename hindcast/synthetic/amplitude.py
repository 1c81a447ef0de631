"""Generates Amplitude exports of any size: ordinary days of a shop, with defects at known places and an answer key.

Odd records stand at fixed places of every two hundred; the record before a repeat is always an ordinary one.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from typing import Any, Final

import numpy as np

from hindcast.synthetic.amplitude_catalogue import (
    LINE,
    LINE_FIELDS,
    SKIPPED_TYPES,
    TYPES,
    attribute_fragments,
    device_fragments,
    page_fragments,
    place_fragments,
)
from hindcast.synthetic.amplitude_export import HOUR_MS, write_amplitude
from hindcast.synthetic.draws import as_fractions, draw_words, scramble, take_bits
from hindcast.synthetic.history_records import weigh_hours
from hindcast.synthetic.output import write_answers
from hindcast.synthetic.spec import Answers, GenerateSpec, MonthCount
from hindcast.synthetic.tally import write_instant
from hindcast.synthetic.traffic import TrafficCurve, to_ms

BLOCK_RECORDS: Final = 10_000
ROUND: Final = 200
DEVICES_A_USER: Final = 3
UPLOADED_AFTER_MS: Final = 2_000
FUTURE: Final = "2999-01-01 00:00:00.000000"
# Place in each two hundred; `rare` ones only in every fourth.
ODD: Final = {
    3: "session_start", 5: "session_end", 7: "no_event_type", 11: "duplicate", 13: "conflict", 17: "malformed",
    19: "future_device_clock", 23: "blank_user", 29: "insert_id_only", 31: "no_id", 41: "unstorable",
    43: "future_everywhere", 47: "unknown_property", 53: "padded_user", 59: "null_device",
}  # fmt: skip
RARE: Final = frozenset({"malformed", "future_everywhere"})
SKIPPED: Final = frozenset({"session_start", "session_end", "no_event_type"})
REJECTS: Final = {"malformed": "malformed_json", "future_everywhere": "time_out_of_range"}


def generate_amplitude(spec: GenerateSpec) -> Answers:
    """Write the export and its answer key; both are complete or absent, whatever happens on the way."""
    books = _Books(spec)
    files = write_amplitude(spec.out, _by_hour(_Records(spec), books))
    answers = replace(books.answers(spec), files=files)
    write_answers(spec.out, answers)
    return answers


class _Records:
    """Draws blocks of lines."""

    def __init__(self, spec: GenerateSpec) -> None:
        self.spec = spec
        self.users = max(spec.count // 20, 10)
        self._traffic = TrafficCurve(to_ms(spec.start), to_ms(spec.end), weigh_hours)
        self._places, self._devices = place_fragments(), device_fragments()
        self._pages, self._attributes = page_fragments(), attribute_fragments()
        self._type_of = np.repeat(np.arange(len(TYPES)), [weight for *_, weight in TYPES])

    def draw(self, number: int, first: int, size: int) -> dict[str, Any]:
        """The columns of a block; `at_ms`, `user` (-1: none), `device` and `type` as numbers, `line` as text."""
        words = draw_words(self.spec.seed, number, 0, (3, size))
        numbers = np.arange(first, first + size, dtype=np.int64)
        at_ms = self._traffic.times((numbers + as_fractions(words[2])) / self.spec.count)
        user = (as_fractions(words[0]) ** 2 * self.users).astype(np.int64)
        device = user * DEVICES_A_USER + take_bits(words[1], 0, 8) % DEVICES_A_USER
        user[take_bits(words[1], 8, 10) < 102] = -1
        columns = {"at_ms": at_ms, "user": user, "device": device, "type": self._type_of[take_bits(words[1], 18, 6)]}
        return columns | {"lines": self._write(columns, words, numbers)}

    def _write(self, columns: dict[str, Any], words: Any, numbers: Any) -> list[dict[str, Any]]:
        at_ms, device = columns["at_ms"], columns["device"].tolist()
        texts = [
            [
                text.replace("T", " ") + "000"
                for text in np.datetime_as_string((at_ms + d).view("datetime64[ms]")).tolist()
            ]
            for d in (0, 500, UPLOADED_AFTER_MS)
        ]
        own, other = (
            scramble(numbers, self.spec.seed).tolist(),
            scramble(numbers, self.spec.seed ^ 0x5DEECE66D).tolist(),
        )
        groups, page = take_bits(words[1], 24, 6).tolist(), take_bits(words[1], 30, 3).tolist()
        attributes, ip = take_bits(words[1], 33, 4).tolist(), take_bits(words[1], 37, 7).tolist()
        session = (at_ms // HOUR_MS * HOUR_MS).tolist()
        return [
            {
                "insert_id": f'"{own[n]:016x}"',
                "amplitude_id": 10_000_000 + device[n] // DEVICES_A_USER,
                "place": self._places[device[n] % len(self._places)],
                "time": texts[0][n],
                "client_time": texts[0][n],
                "received": texts[1][n],
                "uploaded": texts[2][n],
                "device": self._devices[device[n] % len(self._devices)],
                "device_id": f'"dev-{device[n]:08}"',
                "event_id": number + 1,
                "properties": self._pages[page[n]],
                "event_type": f'"{TYPES[kind][0]}"',
                "groups": f'{{"org":["org-{groups[n]}","other"]}}' if groups[n] < 4 else "{}",
                "ip": ip[n],
                "session": session[n] if groups[n] % 8 else -1,
                "user": f'"user-{user:07}"' if user >= 0 else "null",
                "attributes": self._attributes[attributes[n]],
                "uuid": _write_uuid(own[n], other[n]),
                "extra": "",
            }
            for n, (number, user, kind) in enumerate(
                zip(numbers.tolist(), columns["user"].tolist(), columns["type"].tolist(), strict=True)
            )
        ]


def _write_uuid(one: int, two: int) -> str:
    return f'"{one >> 32:08x}-{one & 0xFFFF:04x}-4{two & 0xFFF:03x}-8000-{two >> 16:012x}"'


class _Books:
    """Counts what must become of each record."""

    def __init__(self, spec: GenerateSpec) -> None:
        self.seen = np.zeros(max(spec.count // 20, 10) * DEVICES_A_USER, dtype=bool)
        self.planted: Counter[str] = Counter()
        self.months: Counter[tuple[str, str]] = Counter()
        self.first_ms: int | None = None
        self.last_ms: int | None = None

    def add(self, block: dict[str, Any], odd: dict[int, str]) -> None:
        """Count a block with its odd records by their place in it."""
        size = len(block["lines"])
        staged, new, paired = np.ones(size, bool), np.ones(size, bool), block["user"] >= 0
        for place, kind in odd.items():
            self.planted[kind] += 1
            staged[place] = kind not in SKIPPED and kind not in REJECTS
            new[place] = staged[place] and kind not in ("duplicate", "conflict")
            # A repeat's pair is that of the record before.
            paired[place] &= staged[place] and kind not in ("blank_user", "null_device", "duplicate", "conflict")
        self.seen[block["device"][paired]] = True
        times = block["at_ms"][new]
        if len(times):
            self.first_ms = min(int(times.min()), self.first_ms if self.first_ms is not None else int(times.min()))
            self.last_ms = max(int(times.max()), self.last_ms or 0)
        months = times.view("datetime64[ms]").astype("datetime64[M]").astype(np.int64)
        keys, counts = np.unique(months * len(TYPES) + block["type"][new], return_counts=True)
        for key, count in zip(keys.tolist(), counts.tolist(), strict=True):
            month, kind_ = divmod(key, len(TYPES))
            self.months[str(np.datetime64(month, "M")), TYPES[kind_][1]] += count

    def answers(self, spec: GenerateSpec) -> Answers:
        """Close the books."""
        planted = self.planted
        rejects = {code: planted[kind] for kind, code in REJECTS.items() if planted[kind]}
        skipped, rejected = sum(planted[kind] for kind in SKIPPED), sum(rejects.values())
        staged = spec.count - skipped - rejected
        return Answers(
            format="amplitude",
            count=spec.count,
            seed=spec.seed,
            lines=spec.count,
            staged=staged,
            loaded=staged - planted["duplicate"] - planted["conflict"],
            duplicate=planted["duplicate"],
            conflict=planted["conflict"],
            rejected=rejected,
            rejects_by_reason=dict(sorted(rejects.items())),
            sanitised=planted["unstorable"],
            naive_times=0,
            times_differ=0,
            unknown_properties={"new_field": planted["unknown_property"]} if planted["unknown_property"] else {},
            first_at=write_instant(self.first_ms),
            last_at=write_instant(self.last_ms),
            months=[MonthCount(month, kind, count) for (month, kind), count in sorted(self.months.items())],
            files=[],
            planted=dict(sorted(planted.items())),
            skipped=skipped,
            derived=int(self.seen.sum()),
        )


def _by_hour(records: _Records, books: _Books) -> Iterator[tuple[int, list[bytes]]]:
    spec = records.spec
    for number, first in enumerate(range(0, spec.count, BLOCK_RECORDS)):
        size = min(BLOCK_RECORDS, spec.count - first)
        block = records.draw(number, first, size)
        odd = _find_odd(first, size) if spec.defects else {}
        lines = _plant(block["lines"], odd)
        books.add(block, odd)
        hours = ((block["at_ms"] + UPLOADED_AFTER_MS) // HOUR_MS).tolist()
        for hour, places in groupby(range(size), key=hours.__getitem__):
            yield hour, [lines[place] for place in places]
        if spec.progress is not None:
            spec.progress(first + size)


def _find_odd(first: int, size: int) -> dict[int, str]:
    found = {}
    for start in range(0, size, ROUND):
        is_fourth = (first + start) // ROUND % 4 == 0
        for place, kind in ODD.items():
            if start + place < size and (is_fourth or kind not in RARE):
                found[start + place] = kind
    return found


def _plant(fields: list[dict[str, Any]], odd: dict[int, str]) -> list[bytes]:
    lines: list[bytes] = []
    for place, record in enumerate(fields):
        kind = odd.get(place)
        if kind == "duplicate":
            lines.append(lines[-1])
            continue
        if kind == "conflict":
            record = fields[place - 1] | {"properties": '{"changed":true}'}
        elif kind is not None:
            record = record | _odd_fields(kind, record)
        line = (LINE % tuple([record[name] for name in LINE_FIELDS])).encode()
        lines.append(line[: len(line) // 2] if kind == "malformed" else line)
    return lines


def _odd_fields(kind: str, record: dict[str, Any]) -> dict[str, Any]:
    if kind in SKIPPED_TYPES:
        return {"event_type": f'"{kind}"'}
    return {
        "no_event_type": {"event_type": "null"},
        "blank_user": {"user": '"   "'},
        "null_device": {"device_id": "null"},
        "insert_id_only": {"uuid": "null"},
        "no_id": {"uuid": "null", "insert_id": "null"},
        "unstorable": {"properties": '{"nul":"a\\u0000b","half":"\\ud800"}'},
        "unknown_property": {"extra": ',"new_field":1'},
        "padded_user": {"user": record["user"].replace('"user', '"  user')},
        "future_device_clock": {"time": FUTURE},
        "future_everywhere": dict.fromkeys(("time", "client_time", "received"), FUTURE),
    }.get(kind, {})
