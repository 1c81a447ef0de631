"""What every format module offers, and what it is given.

A format is a module with `NAME`, `OPTIONS`, `detect`, `decode` and `encode`:

    NAME: str                                     # its name on the command line and in `source`
    OPTIONS: dict[str, Option]                    # what `--option NAME=VALUE` takes
    detect(records: list[bytes]) -> str | None    # evidence that these records are its own, or None
    decode(raw: bytes, context: Context) -> Event | Skipped    # raises RecordError for a reject
    encode(event: Event) -> bytes                 # a record that decodes to the same event
    redact(text: str) -> str                      # hides personal values in text kept with a reject

and, where speed asks for it, `decode_batch(raws, context)`: the outcomes of `decode`, with the RecordError of a
reject in its place; and `PLAIN`, where a record is a flat object of known names that the compiled kernel can read.
"""

import hashlib
import hmac
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from hindcast.errors import ConfigurationError, RecordError
from hindcast.event import Event, Skipped

MOST_UNKNOWN_NAMES: Final = 10_000  # hostile input may bring as many as it has records


@dataclass(frozen=True)
class Option:
    """A format's own option: its default and what it does."""

    default: bool
    description: str


@dataclass(frozen=True)
class PlainNames:
    """The names by which records give their time, their payload and their texts, by column.

    The kernel reads a record that has no other names, one spelling of each, texts of 1 to 256 bytes, a time as
    2024-01-31T23:59:59Z, and a payload without the keys that the option `scrub_option` would scrub. `decode` must
    give the same event; it reads all others.
    """

    time: tuple[str, ...]
    payload: tuple[str, ...]
    texts: Mapping[str, tuple[str, ...]]
    scrub_option: str


@dataclass
class Context:
    """What decoding needs to know, and where it counts what is remarkable but no fault."""

    latest: datetime
    tenant: str = ""
    options: Mapping[str, bool] = field(default_factory=dict)
    pii_key: bytes | None = None
    bucket: str = "llma"  # of the objects that large values go to
    inline_bytes: int = 4_096  # a longer value of an LLM event goes to an object
    notes: Counter[str] = field(default_factory=Counter)
    unknown_properties: Counter[str] = field(default_factory=Counter)

    def count_unknown(self, name: str) -> None:
        """Count a property that the format does not know; past some thousands of names, without its name."""
        name = name[:100]
        if len(self.unknown_properties) >= MOST_UNKNOWN_NAMES and name not in self.unknown_properties:
            name = "(other names)"
        self.unknown_properties[name] += 1

    def hash_personal(self, value: str) -> str:
        """Replace a personal value: SHA-256 of it trimmed and lower-cased, keyed when a secret is configured."""
        text = value.strip().lower().encode("utf-8", "surrogatepass")
        if self.pii_key:
            return "hmac-sha256:" + hmac.new(self.pii_key, text, hashlib.sha256).hexdigest()
        return "sha256:" + hashlib.sha256(text).hexdigest()


class Format(Protocol):
    """A format module, as the registry sees it."""

    @property
    def NAME(self) -> str: ...

    @property
    def OPTIONS(self) -> dict[str, Option]: ...

    def detect(self, records: list[bytes]) -> str | None: ...

    def decode(self, raw: bytes, context: Context) -> Event | Skipped: ...

    def encode(self, event: Event) -> bytes: ...

    def redact(self, text: str) -> str: ...


def decode_or_fault(
    decode: Callable[[bytes, Context], Event | Skipped], raw: bytes, context: Context
) -> Event | Skipped | RecordError:
    """Decode one record; what it breaks is returned, without the frames that would keep its neighbours in memory."""
    try:
        return decode(raw, context)
    except RecordError as fault:
        fault.__context__ = None
        return fault.with_traceback(None)


def read_options(chosen: Mapping[str, str], offered: Mapping[str, Option]) -> dict[str, bool]:
    """Merge `--option` values over a format's defaults; raises ConfigurationError for unknown names and values."""
    values = {name: option.default for name, option in offered.items()}
    for name, text in chosen.items():
        if name not in offered:
            known = ", ".join(sorted(offered)) or "none"
            raise ConfigurationError(f"option {name!r}: this format has no such option; known: {known}")
        if text.lower() not in {"true", "false", "on", "off", "yes", "no", "1", "0"}:
            raise ConfigurationError(f"option {name}={text!r}: expected true or false")
        values[name] = text.lower() in {"true", "on", "yes", "1"}
    return values
