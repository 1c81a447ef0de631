"""Events that a format has us make from others, such as `$identify`.

A format that makes some offers `derive(event, options) -> list[Derived]` and, where it gives states,
`describe_change(event, before, after) -> Event | None`.
"""

from dataclasses import dataclass
from typing import Any

from hindcast.event import Event


@dataclass(frozen=True, slots=True)
class Derived:
    """An event that a record gives rise to. `key` (16 bytes) is what it is remembered by.

    Without a `state`: made once a key, by its earliest record, for as long as that event is in the table. With one:
    made whenever the key's state is another than before, in order of time; `event` then is made definite by
    `describe_change(event, before, after)`, whose `before` is the state there was (None: first sight) and whose answer
    may be None (nothing to tell). Either kind has an own id; of what is made once it is `<event type>:<key as UUID>`.
    """

    key: bytes
    event: Event
    state: dict[str, Any] | None = None
