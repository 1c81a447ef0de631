"""What the parts of a request mean together: one event, and the large values that leave its payload."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from hindcast.capture.parts import EVENT, PROPERTIES, ReceivedPart
from hindcast.capture.refusal import Refused
from hindcast.errors import RecordError
from hindcast.event import Event
from hindcast.llm_events import Reading, map_event, read_json
from hindcast.objects.multipart import Value

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Captured:
    """An event without its large values, which come beside it. `is_timed`: the event brought its own time."""

    event: Event
    values: tuple[Value, ...]
    is_timed: bool
    accepted_parts: list[dict[str, Any]]


def read_request(parts: Sequence[ReceivedPart], reading: Reading) -> Captured:
    """Read checked parts; raises Refused 400, naming the part. The values are read later, while the parts are open."""
    by_name = {part.name: part for part in parts}
    fields, is_sanitised = _in_part(EVENT, lambda: read_json(bytes(by_name[EVENT].small)))
    if PROPERTIES in by_name:
        if "properties" in fields:
            raise Refused(400, "part event.properties: properties are in part event too; expected one of the two")
        fields["properties"], is_marked = _in_part(PROPERTIES, lambda: read_json(bytes(by_name[PROPERTIES].small)))
        is_sanitised |= is_marked
    event = _in_part(EVENT, lambda: map_event(fields, reading))
    event.is_sanitised = is_sanitised
    values = []
    for part in parts:
        if part.property_name is None:
            continue
        if part.property_name in event.payload:
            raise Refused(400, f"part {part.name}: the property is among the others too; expected it once")
        assert part.content_type
        values.append(Value(part.property_name, part.content, part.content_type, part.content_encoding))
    accepted = [
        {
            "name": part.name,
            "length": part.length,
            "content-type": part.content_type,
            "content-encoding": part.content_encoding,
        }
        for part in parts
    ]
    return Captured(event, tuple(values), fields.get("timestamp") is not None, accepted)


def _in_part(name: str, read: Callable[[], _Answer]) -> _Answer:
    try:
        return read()
    except RecordError as fault:
        raise Refused(400, f"part {name}: {fault.sentence}") from None
