"""The odd records of API monitoring: repeats, contradictions, what must be set aside, what only looks odd."""

import json
from collections.abc import Callable
from dataclasses import replace

from hindcast.synthetic import broken_lines as broken
from hindcast.synthetic import history_spellings as spellings
from hindcast.synthetic.history_repeats import repeat, shifted, turned
from hindcast.synthetic.places import Kind
from hindcast.synthetic.planted import (
    CONFLICT,
    DUPLICATE,
    Planted,
    Record,
    Source,
    staged,
    write_record,
    write_time,
    write_utc,
)

UNKNOWN = (("tenant_id",), ("build", "region_hint"), ("schemaVersion",))
OTHER_TYPES = ("user_action", "system_event", "error_event", "custom_event")


def respelled(source: Source, variant: int) -> Planted:
    """Write the same event in other words: order, 1 or 1.0, time notation, spacing, escapes."""
    time, naive = write_time(source.at_ms, variant)
    text = json.dumps(turned(source.record() | {"timestamp": time}), ensure_ascii=bool(variant % 3))
    return staged(source, text, DUPLICATE, naive=naive)


def conflict_content(source: Source, variant: int) -> Planted:
    """Reuse an event id, at its time, for other content."""
    record = source.record()
    if variant % 2:
        record["context"]["user_agent"] = f"Replay/{source.number}"
    else:
        record["payload"]["revision"] = source.number
    return staged(source, record, CONFLICT)


def conflict_time(source: Source, variant: int) -> Planted:
    """Reuse an event id, with its content, at another time."""
    at_ms = shifted(source)
    return staged(source, source.record() | {"timestamp": write_utc(at_ms)}, CONFLICT, at_ms=at_ms)


def missing_event_id(source: Source, variant: int) -> Planted:
    """Leave the id out, or say nothing in it."""
    return broken.without(source, "event_id", (None, ""), variant, "missing_event_id")


def missing_event_type(source: Source, variant: int) -> Planted:
    """Leave the type out, or say nothing in it."""
    return broken.without(source, "event_type", (None, "", "   "), variant, "missing_event_type")


def missing_time(source: Source, variant: int) -> Planted:
    """Leave the time out, or say nothing in it."""
    return broken.without(source, "timestamp", (None, ""), variant, "missing_time")


def unknown_event_type(source: Source, variant: int) -> Planted:
    """Name a type the source does not have."""
    return broken.changed(
        source, "event_type", ("page_view", "API_CALL", "api_call ")[variant % 3], "unknown_event_type"
    )


def unknown_severity(source: Source, variant: int) -> Planted:
    """Name a severity the source does not have."""
    return broken.changed(source, "severity", ("fatal", "INFO", "")[variant % 3], "unknown_severity")


def impossible_time(source: Source, variant: int) -> Planted:
    """Name a day or an hour that never was, or no time at all."""
    times = broken.IMPOSSIBLE_TIMES
    return broken.changed(source, "timestamp", times[variant % len(times)], "invalid_time")


def time_out_of_range(source: Source, variant: int) -> Planted:
    """Name a time before 1970 or far ahead."""
    times = (*broken.FUTURE_TIMES, *broken.ANCIENT_TIMES)
    return broken.changed(source, "timestamp", times[variant % len(times)], "time_out_of_range")


def too_long(source: Source, variant: int) -> Planted:
    """Write one character more than a title or message may have."""
    name, value = (("title", "t" * 201), ("message", "ü" * 2_001))[variant % 2]
    return broken.changed(source, name, value, "value_too_long")


def status_out_of_range(source: Source, variant: int) -> Planted:
    """Give a status code that HTTP does not have."""
    return measured(source, "status_code", (99, 600, 0, -200, 200.5, 10**30)[variant % 6], "status_out_of_range")


def negative_response_time(source: Source, variant: int) -> Planted:
    """Answer before the question."""
    return measured(source, "response_time_ms", (-1, -0.01)[variant % 2], "negative_response_time")


def wrong_type(source: Source, variant: int) -> Planted:
    """Give a number, truth value or container where something else belongs."""
    if variant % 3 == 0:
        return measured(source, "status_code", "200", "invalid_type")
    names = ("event_type", "title", "source", "context", "metrics", "event_id", "error_details", "payload")
    return broken.changed(source, names[variant % len(names)], (True, [1])[variant % 2], "invalid_type")


def measured(source: Source, name: str, value: object, code: str) -> Planted:
    """Give one of the metrics another value."""
    record = source.record()
    record["metrics"][name] = value
    return Planted(write_record(record), code)


def naive_time(source: Source, variant: int) -> Planted:
    """Leave the zone out."""
    return timed(source, spellings.NAIVE_NOTATIONS, variant, naive=True)


def zoned_time(source: Source, variant: int) -> Planted:
    """Write the time with an offset, or with more digits."""
    return timed(source, spellings.ZONED_NOTATIONS, variant)


def epoch_time(source: Source, variant: int) -> Planted:
    """Write milliseconds since 1970."""
    return timed(source, spellings.EPOCH_NOTATIONS, variant)


def timed(source: Source, notations: tuple[int, ...], variant: int, naive: bool = False) -> Planted:
    """Write the time in one of these notations."""
    time, _ = write_time(source.at_ms, notations[variant % len(notations)])
    return staged(source, source.record() | {"timestamp": time}, naive=naive)


def late(source: Source, variant: int) -> Planted:
    """Deliver an event one hour to three days after it happened."""
    at_ms = spellings.delayed(source)
    return staged(source, source.record() | {"timestamp": write_utc(at_ms)}, at_ms=at_ms)


def other_type(source: Source, variant: int) -> Planted:
    """Write an event that is no request: another type, no metrics."""
    event_type = OTHER_TYPES[variant % len(OTHER_TYPES)]
    record = source.record() | {"event_type": event_type, "severity": "critical"}
    del record["metrics"]
    record.pop("error_details", None)
    return staged(source, record, event_type=event_type)


def errors_without_details(source: Source, variant: int) -> Planted:
    """Fail without saying why: loaded and noted."""
    record = source.record()
    record["metrics"]["status_code"] = (500, 404)[variant % 2]
    record.pop("error_details", None)
    return staged(source, record)


def details_without_error(source: Source, variant: int) -> Planted:
    """Say why it failed, with a status of success: loaded and noted."""
    record = source.record() | {"error_details": {"error_code": "ERR_200_100", "stack_trace": None}}
    record["metrics"]["status_code"] = (200, 302)[variant % 2]
    return staged(source, record)


def unknown_properties(source: Source, variant: int) -> Planted:
    """Add properties nobody knows."""
    names = UNKNOWN[variant % len(UNKNOWN)]
    return staged(source, source.record() | dict.fromkeys(names, "v1"), unknown=names)


def absent_fields(source: Source, variant: int) -> Planted:
    """Leave out, or null, what may be."""
    record = source.record()
    for name in ("title", "message", "severity", "source")[variant % 4 :]:
        if variant % 2:
            del record[name]
        else:
            record[name] = None
    record["context"] = ({}, None, {"user_id": "", "session_id": None})[variant % 3]
    return staged(source, record)


def integer_ids(source: Source, variant: int) -> Planted:
    """Write ids as numbers."""
    record = source.record() | {"event_id": 10**15 + source.number}
    record["context"]["user_id"] = source.number
    return staged(source, record)


def longest_texts(source: Source, variant: int) -> Planted:
    """Write title and message as long as they may be."""
    return staged(source, source.record() | {"title": "ü" * 200, "message": "m" * 2_000})


def exact_numbers(source: Source, variant: int) -> Planted:
    """Write a duration with more digits than a double holds, or none."""
    number = ("12.34567890123456789012345", "0", "1e2", "0.0")[variant % 4]
    before, _, rest = source.text.partition('"response_time_ms":')
    return staged(source, f'{before}"response_time_ms":{number}{rest[rest.index(",") :]}')


def nul(source: Source, variant: int) -> Planted:
    """Put NUL into a value."""
    return unstorable(source, "a\x00b", variant)


def lone_surrogate(source: Source, variant: int) -> Planted:
    """Put half of a surrogate pair into a value."""
    return unstorable(source, ("cut \ud83d", "\udc4d cut", "\ude00\ud83d")[variant % 3], variant)


def unstorable(source: Source, text: str, variant: int) -> Planted:
    """Put `text` into the message, a column, or both; the record counts once."""
    record: Record = source.record()
    if variant % 3 != 1:
        record["message"] = text
    if variant % 3:
        record["context"]["user_agent"] = text
    return staged(source, write_record(record, escaped=True), sanitised=True)


def kinds_for(is_array: bool) -> tuple[Kind, ...]:
    """Return the kinds of odd records; in an array none may hide where its neighbours begin."""
    return tuple(
        replace(kind, make=broken.malformed_element, name="malformed")
        if is_array and kind.make is broken.malformed
        else kind
        for kind in KINDS
    )


def _reject(make: Callable[[Source, int], Planted], per_mille: float) -> Kind:
    return Kind(make, per_mille, reject=True)


# In the order in which small exports get them.
KINDS = (
    Kind(repeat, 3.0, "before", "repeat_adjacent"),
    Kind(respelled, 1.0, "before", "respelled_adjacent"),
    Kind(repeat, 3.0, "far", "repeat_far"),
    Kind(respelled, 1.0, "far", "respelled_far"),
    Kind(conflict_content, 0.6, "own_id"),
    Kind(conflict_time, 0.4, "own_id"),
    Kind(conflict_content, 0.3, "far_own_id", "conflict_far"),
    _reject(broken.malformed, 0.9),
    _reject(broken.invalid_utf8, 0.3),
    _reject(unknown_event_type, 0.4),
    _reject(unknown_severity, 0.3),
    _reject(status_out_of_range, 0.4),
    _reject(negative_response_time, 0.3),
    _reject(time_out_of_range, 0.5),
    _reject(impossible_time, 0.4),
    _reject(missing_event_id, 0.3),
    Kind(naive_time, 4.0),
    Kind(other_type, 8.0),
    Kind(errors_without_details, 1.0),
    Kind(details_without_error, 1.0),
    Kind(nul, 0.5),
    Kind(nul, 0.2, name="nul_repeated", again=True),
    Kind(lone_surrogate, 0.5),
    Kind(late, 8.0),
    Kind(zoned_time, 6.0),
    Kind(epoch_time, 3.0),
    Kind(unknown_properties, 2.0),
    Kind(absent_fields, 2.0),
    Kind(integer_ids, 1.0),
    Kind(longest_texts, 0.5),
    Kind(exact_numbers, 1.0),
    Kind(spellings.blank_lines, 1.0),
    Kind(spellings.carriage_return, 0.5),
    Kind(spellings.duplicate_key, 0.3),
    Kind(spellings.escaped_text, 0.5),
    _reject(missing_event_type, 0.3),
    _reject(missing_time, 0.3),
    _reject(too_long, 0.3),
    _reject(broken.not_an_object, 0.3),
    _reject(wrong_type, 0.4),
    _reject(broken.too_deep, 0.2),
    _reject(broken.huge_number, 0.2),
)
