"""Lines that must be set aside, with the code each must be set aside with."""

from hindcast.synthetic.planted import Planted, Source, write_record

FULL_BYTE = "\udcff"  # written as the byte 0xFF: the file is encoded with surrogateescape
NOT_UTF8 = (FULL_BYTE, "caf\udce9", "\udced\udca0\udc80", "\udcc0\udcaf", "\udce2\udc82")
DEEPER = 150  # arrays in arrays; 100 levels are allowed


def malformed(source: Source, variant: int) -> Planted:
    """Break the JSON in one of eleven ways."""
    text = source.text
    broken = (
        text[: len(text) // 2],
        text.replace('"payload":{', '"payload":{"measure":NaN,'),
        text[:-1] + ",}",
        text.replace('"', "'"),
        text.replace("AppleWebKit", "Apple\x01WebKit"),
        f"{text}{text}",
        text.replace('"payload":{', '"payload":{"measure":-Infinity,'),
        "<html><body>502 Bad Gateway</body></html>",
        text.replace('"event_type":', "event_type:"),
        f"{text} // checked",
        text[:-1],
    )
    return Planted(broken[variant % len(broken)], "malformed_json")


def invalid_utf8(source: Source, variant: int) -> Planted:
    """Put bytes that are no text into a string: stray, Latin-1, an encoded surrogate, overlong, cut short."""
    piece = NOT_UTF8[variant % len(NOT_UTF8)]
    return Planted(source.text.replace("AppleWebKit", f"AppleWebKit {piece}"), "invalid_utf8")


def missing_event_type(source: Source, variant: int) -> Planted:
    """Leave the event type out, or say nothing in it."""
    return without(source, "event_type", (None, "", "   "), variant, "missing_event_type")


def missing_time(source: Source, variant: int) -> Planted:
    """Leave the time out, or null."""
    return without(source, "occurred_at", (None,), variant, "missing_time")


def impossible_time(source: Source, variant: int) -> Planted:
    """Name a day or an hour that never was, or no time at all."""
    times = (
        "2024-02-30T10:00:00Z",
        "yesterday",
        "2023-02-29 08:00:00",
        "2024-13-01T00:00:00Z",
        True,
        "2024-05-05T25:00:00Z",
    )
    return changed(source, "occurred_at", times[variant % len(times)], "invalid_time")  # fmt: skip


def future_time(source: Source, variant: int) -> Planted:
    """Name a time far ahead whenever the export is read."""
    times = ("2199-01-01T00:00:00.000Z", 7_226_582_400_000, "2150-06-01 12:00:00", "9999-12-31T23:59:59Z")
    return changed(source, "occurred_at", times[variant % len(times)], "time_out_of_range")


def ancient_time(source: Source, variant: int) -> Planted:
    """Name a time before 1970."""
    times = ("1969-12-31T23:59:59.999Z", -1, "1900-01-01T00:00:00Z", "1970-01-01T00:30:00+01:00")
    return changed(source, "occurred_at", times[variant % len(times)], "time_out_of_range")


def too_long(source: Source, variant: int) -> Planted:
    """Give a value of 257 characters or more where 256 are the most."""
    name, value = (("event_type", "x" * 257), ("course_id", "ü" * 257), ("lesson_id", "l" * 5_000))[variant % 3]
    return changed(source, name, value, "value_too_long")


def not_an_object(source: Source, variant: int) -> Planted:
    """Write JSON that is no record."""
    return Planted((f"[{source.text}]", "null", "42", '"event"', "[]")[variant % 5], "not_an_object")


def wrong_type(source: Source, variant: int) -> Planted:
    """Give a number, truth value or container where text belongs."""
    values = (
        ("event_type", 42),
        ("user_id", True),
        ("course_id", {"id": 1}),
        ("session_id", ["s"]),
        ("user_agent", 1.5),
    )
    name, value = values[variant % len(values)]
    return changed(source, name, value, "invalid_type")


def too_deep(source: Source, variant: int) -> Planted:
    """Nest arrays deeper than allowed."""
    nested = "[" * DEEPER + "]" * DEEPER
    return Planted(source.text.replace('"payload":{', f'"payload":{{"nested":{nested},'), "too_deep")


def huge_number(source: Source, variant: int) -> Planted:
    """Write numbers beyond what the target can hold."""
    number = ("1e5000", "9" * 4_200, "-1E-4500")[variant % 3]
    text = source.text.replace('"payload":{', f'"payload":{{"measure":{number},')
    return Planted(text, "number_out_of_range")


def without(source: Source, name: str, values: tuple[object, ...], variant: int, code: str) -> Planted:
    """Drop a member at first, then give it each of `values`."""
    choice = variant % (len(values) + 1)
    if choice:
        return changed(source, name, values[choice - 1], code)
    record = source.record()
    del record[name]
    return Planted(write_record(record), code)


def changed(source: Source, name: str, value: object, code: str) -> Planted:
    """Give a member another value."""
    return Planted(write_record(source.record() | {name: value}), code)
