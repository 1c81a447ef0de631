"""Reading records: what every JSON format does the same way, with the same codes and sentences."""

from typing import Any, Final

import msgspec

from hindcast.canonical import MAX_DEPTH, MAX_NUMBER_DIGITS, decode_value, mark_unstorable
from hindcast.errors import RecordError
from hindcast.event import Event

LONGEST_NAME: Final = 256  # characters of an event type, course or lesson: they are keys of rollups


def read_object(raw: bytes) -> dict[str, Any]:
    """Read a record as a JSON object; raises RecordError `invalid_utf8`, `malformed_json`, `not_an_object`, ...."""
    try:
        fields = decode_value(raw)
    except UnicodeDecodeError as error:
        raise RecordError("invalid_utf8", f"not UTF-8: {error.reason} at byte {error.start} of a string") from None
    except msgspec.DecodeError as error:
        if "out of range" in str(error):
            raise RecordError("number_out_of_range", "a number has more digits than can be kept") from None
        raise RecordError("malformed_json", _describe_malformed(raw, error)) from None
    if not isinstance(fields, dict):
        raise RecordError("not_an_object", f"the record is {name_type(fields)}: expected a JSON object")
    return fields


def read_objects(records: list[bytes]) -> list[dict[str, Any]]:
    """The JSON objects among the first records of an export, for detection; what is none is left out."""
    found = []
    for raw in records:
        try:
            fields = msgspec.json.decode(raw)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            continue
        if isinstance(fields, dict):
            found.append(fields)
    return found


def is_unusual(raw: bytes) -> bool:
    """True for what only a general way reads right: much nesting, long integers, texts to mark or to empty."""
    return (
        raw.count(b"{") + raw.count(b"[") > MAX_DEPTH
        or len(raw) > MAX_NUMBER_DIGITS
        or b'""' in raw
        or (b"\\" in raw and mark_unstorable(raw)[1])  # one byte is found much faster than two
    )


def to_text(field: str, value: Any) -> str | None:
    """An id: a string, or an integer written as one; the empty string is None.

    Raises RecordError `invalid_type`, which calls it `field`.
    """
    if value is None or isinstance(value, str):
        return value or None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise RecordError("invalid_type", f"{field} is {name_type(value)}: expected a string")


def check_lengths(event: Event) -> None:
    """Raise RecordError `value_too_long` for an event type, course or lesson of over LONGEST_NAME characters."""
    if (
        len(event.event_type) <= LONGEST_NAME
        and (event.course_id is None or len(event.course_id) <= LONGEST_NAME)
        and (event.lesson_id is None or len(event.lesson_id) <= LONGEST_NAME)
    ):
        return
    for name in ("event_type", "course_id", "lesson_id"):
        check_length(name, getattr(event, name), LONGEST_NAME)


def check_length(name: str, value: str | None, longest: int) -> None:
    """Raise RecordError `value_too_long` for a text of more characters."""
    if value is not None and len(value) > longest:
        raise RecordError("value_too_long", f"{name} of {len(value)} characters: expected at most {longest}")


def name_type(value: object) -> str:
    """Call a JSON value's type by its name: `a string`, `null`."""
    if value is None:
        return "null"
    names = {bool: "a boolean", str: "a string", list: "an array", dict: "an object"}
    return names.get(type(value), "a number")


def _describe_malformed(raw: bytes, error: Exception) -> str:
    try:
        raw.decode()
    except UnicodeDecodeError as fault:
        return f"not JSON: {error}; byte {fault.start} of the line is not UTF-8 either"
    return f"not JSON: {error}"
