"""Lines that no format can read, and ways to spoil one member of a record."""

from hindcast.synthetic.planted import Planted, Source, write_record

FULL_BYTE = "\udcff"  # written as the byte 0xFF: the file is encoded with surrogateescape
NOT_UTF8 = (FULL_BYTE, "caf\udce9", "\udced\udca0\udc80", "\udcc0\udcaf", "\udce2\udc82")
DEEPER = 150  # arrays in arrays; 100 levels are allowed
IMPOSSIBLE_TIMES = (
    "2024-02-30T10:00:00Z",
    "yesterday",
    "2023-02-29 08:00:00",
    "2024-13-01T00:00:00Z",
    True,
    "2024-05-05T25:00:00Z",
)
FUTURE_TIMES = ("2199-01-01T00:00:00.000Z", 7_226_582_400_000, "2150-06-01 12:00:00", "9999-12-31T23:59:59Z")
ANCIENT_TIMES = ("1969-12-31T23:59:59.999Z", -1, "1900-01-01T00:00:00Z", "1970-01-01T00:30:00+01:00")


def malformed(source: Source, variant: int) -> Planted:
    """Break the JSON in one of eleven ways; the last two leave a bracket or quote open."""
    text = source.text
    broken = (*break_elements(text), text[: len(text) // 2], text[:-1])
    return Planted(broken[variant % len(broken)], "malformed_json")


def malformed_element(source: Source, variant: int) -> Planted:
    """Break the JSON so that the elements around it in an array can still be told apart."""
    broken = break_elements(source.text)
    return Planted(broken[variant % len(broken)], "malformed_json")


def break_elements(text: str) -> tuple[str, ...]:
    """Return texts that are no JSON, each with its brackets and quotes in pairs."""
    return (
        text.replace('"payload":{', '"payload":{"measure":NaN,'),
        text[:-1] + ",}",
        text.replace('"', "'"),
        taint(text, "\x01"),
        f"{text}{text}",
        text.replace('"payload":{', '"payload":{"measure":-Infinity,'),
        "<html><body>502 Bad Gateway</body></html>",
        text.replace('"event_type":', "event_type:"),
        f"{text} // checked",
    )


def invalid_utf8(source: Source, variant: int) -> Planted:
    """Put bytes that are no text into a string: stray, Latin-1, an encoded surrogate, overlong, cut short."""
    piece = NOT_UTF8[variant % len(NOT_UTF8)]
    return Planted(taint(source.text, f" {piece}"), "invalid_utf8")


def not_an_object(source: Source, variant: int) -> Planted:
    """Write JSON that is no record."""
    return Planted((f"[{source.text}]", "null", "42", '"event"', "[]")[variant % 5], "not_an_object")


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


def taint(text: str, piece: str) -> str:
    """Put a piece into the user agent of a line."""
    return text.replace('"user_agent":"', f'"user_agent":"{piece}', 1)
