"""Records that are loaded although they look odd: other names and times, odd payloads, unstorable text."""

from hindcast.synthetic.planted import Planted, Record, Source, staged, write_record, write_time, write_utc

CAMEL_CASE = {
    "event_type": "eventType",
    "occurred_at": "occurredAt",
    "event_id": "eventId",
    "user_id": "userId",
    "anonymous_id": "anonymousId",
    "course_id": "courseId",
    "lesson_id": "lessonId",
    "module_id": "moduleId",
    "session_id": "sessionId",
    "user_agent": "userAgent",
}
TYPE_NAMES = ("type", "eventType")
TIME_NAMES = ("created_at", "timestamp", "time", "createdAt", "occurredAt")
PAYLOAD_NAMES = ("metadata", "meta", "data")
OWN_ID_NAMES = ("client_event_id", "id", "eventId", "clientEventId")
UNKNOWN = (
    ("schema_version",),
    ("utm_source", "app_version"),
    ("ipCountry",),
    ("schema_version", "experiment"),
)
NAIVE_NOTATIONS = (2, 5)
ZONED_NOTATIONS = (0, 3, 6, 7)
EPOCH_NOTATIONS = (1, 4)
HOUR_MS = 3_600_000


def camel_case(source: Source, variant: int) -> Planted:
    """Write every name in camelCase."""
    return staged(source, rename(source.record(), CAMEL_CASE))


def other_names(source: Source, variant: int) -> Planted:
    """Use the other accepted names, in turn."""
    return staged(source, rename(source.record(), other_spelling(variant)))


def zoned_time(source: Source, variant: int) -> Planted:
    """Write the time with an offset, or with more digits."""
    return staged(source, with_time(source, ZONED_NOTATIONS[variant % len(ZONED_NOTATIONS)]))


def naive_time(source: Source, variant: int) -> Planted:
    """Leave the zone out."""
    return staged(source, with_time(source, NAIVE_NOTATIONS[variant % len(NAIVE_NOTATIONS)]), naive=True)


def epoch_time(source: Source, variant: int) -> Planted:
    """Write milliseconds since 1970, as a number or a string."""
    return staged(source, with_time(source, EPOCH_NOTATIONS[variant % len(EPOCH_NOTATIONS)]))


def late(source: Source, variant: int) -> Planted:
    """Deliver an event one hour to three days after it happened."""
    at_ms = delayed(source)
    return staged(source, source.record() | {"occurred_at": write_utc(at_ms)}, at_ms=at_ms)


def times_differ(source: Source, variant: int) -> Planted:
    """Give a created_at later than occurred_at, which wins."""
    created_at = write_utc(source.at_ms + 1_000 + variant % 90_000)
    return staged(source, {"created_at": created_at} | source.record(), times_differ=True)


def times_agree(source: Source, variant: int) -> Planted:
    """Give both times, the same."""
    record = source.record()
    return staged(source, record | {"created_at": record["occurred_at"]})


def blank_lines(source: Source, variant: int) -> Planted:
    """Follow an ordinary record by lines that are not records."""
    return staged(source, source.text + ("\n", "\n\n\n", "\n  \t ")[variant % 3])


def carriage_return(source: Source, variant: int) -> Planted:
    """End one line as Windows does."""
    return staged(source, f"{source.text}\r")


def unknown_properties(source: Source, variant: int) -> Planted:
    """Add properties nobody knows."""
    names = UNKNOWN[variant % len(UNKNOWN)]
    return staged(source, source.record() | dict.fromkeys(names, "v1"), unknown=names)


def odd_payload(source: Source, variant: int) -> Planted:
    """Make the payload a scalar, an array, null or absent; an own id where the content says too little."""
    record = source.record()
    payloads: tuple[object, ...] = (
        source.number,
        f"note {source.number}",
        [source.number, {"a": []}],
        True,
        None,
    )
    choice = variant % (len(payloads) + 1)
    if choice == len(payloads):
        del record["payload"]
    else:
        record["payload"] = payloads[choice]
    if choice > 2:
        record["event_id"] = f"evt_odd_{source.number}"
    return staged(source, record)


def integer_ids(source: Source, variant: int) -> Planted:
    """Write ids as numbers."""
    record = source.record() | {"user_id": source.number, "session_id": -1}
    if variant % 2:
        record.pop("event_id", None)
        record["id"] = 10**18 + source.number
    return staged(source, record)


def empty_ids(source: Source, variant: int) -> Planted:
    """Write empty strings for what is null."""
    return staged(source, source.record() | {"course_id": "", "lesson_id": "", "user_agent": "", "event_id": ""})


def longest_ids(source: Source, variant: int) -> Planted:
    """Write ids as long as they may be: 256 characters for courses, any for users."""
    return staged(source, source.record() | {"course_id": "ü" * 256, "user_id": "u" * 1_000})


def custom_type(source: Source, variant: int) -> Planted:
    """Name an event as nobody else does; it is kept as it is, spaces included."""
    event_type = (" Custom event 🎓 ", "レッスン開始", "forum.post/créé")[variant % 3]
    return staged(source, source.record() | {"event_type": event_type}, event_type=event_type)


def duplicate_key(source: Source, variant: int) -> Planted:
    """Write keys twice in one object; the last wins."""
    return staged(source, '{"event_type":"overruled","payload":{"overruled":true},' + source.text[1:])


def escaped_text(source: Source, variant: int) -> Planted:
    """Write what only looks unstorable: an escaped backslash before u0000, a whole surrogate pair."""
    return staged(source, write_record(with_note(source, "\\u0000 \\ud800 🎓"), escaped=True))


def nul(source: Source, variant: int) -> Planted:
    """Put NUL into a value."""
    return unstorable(source, "a\x00b", variant)


def lone_surrogate(source: Source, variant: int) -> Planted:
    """Put half of a surrogate pair into a value."""
    return unstorable(source, ("cut \ud83d", "\udc4d cut", "\ude00\ud83d")[variant % 3], variant)


def unstorable(source: Source, text: str, variant: int) -> Planted:
    """Put `text` into the payload, a column, or both; the record counts once."""
    record = with_note(source, text) if variant % 3 != 1 else source.record()
    if variant % 3:
        record["user_agent"] = text
    return staged(source, write_record(record, escaped=True), sanitised=True)


def personal(source: Source, variant: int) -> Planted:
    """Put invented personal values into the payload."""
    record = source.record()
    values: tuple[Record, ...] = (
        {"email": f"learner{source.number}@example.org"},
        {"profile": {"Name": "Ada Example", "PHONE": "+44 20 7946 0000"}},
        {"contacts": [{"Email": "first@example.org"}, {"eMail": "second@example.org", "note": "kept"}]},
    )
    record["payload"] |= values[variant % len(values)]
    return staged(source, record)


def delayed(source: Source) -> int:
    """Return a time one hour to three days before the source's, in the window."""
    return max(source.window_ms[0], source.at_ms - HOUR_MS - source.number * 7_919_000 % (71 * HOUR_MS))


def other_spelling(variant: int) -> dict[str, str]:
    """Choose accepted names, differently for each variant."""
    return {
        "event_type": TYPE_NAMES[variant % len(TYPE_NAMES)],
        "occurred_at": TIME_NAMES[variant % len(TIME_NAMES)],
        "payload": PAYLOAD_NAMES[variant % len(PAYLOAD_NAMES)],
        "event_id": OWN_ID_NAMES[variant % len(OWN_ID_NAMES)],
    }


def rename(record: Record, names: dict[str, str]) -> Record:
    """Return the record under other names, in the same order."""
    return {names.get(name, name): value for name, value in record.items()}


def with_time(source: Source, notation: int) -> Record:
    """Return the record with its time in another notation."""
    return source.record() | {"occurred_at": write_time(source.at_ms, notation)[0]}


def with_note(source: Source, note: str) -> Record:
    """Return the record with a note in its payload."""
    record = source.record()
    record["payload"]["note"] = note
    return record
