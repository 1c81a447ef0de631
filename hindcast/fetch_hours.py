"""Hours of Amplitude's Export API, and what was pinned of them: which were asked for, when, and what came.

The state is one file in the inbox, replaced atomically after every answer.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from hindcast.atomic import write_atomically
from hindcast.errors import ConfigurationError, ExportError

STATE_FILE: Final = ".amplitude-fetch.json"
HOUR: Final = timedelta(hours=1)
# https://amplitude.com/docs/apis/analytics/export: data appears in exports about two hours after it arrived.
LATENESS: Final = timedelta(hours=2)
_KEY: Final = "%Y-%m-%dT%H"


@dataclass(frozen=True, order=True)
class Piece:
    """Consecutive hours of one UTC day, asked for in one request."""

    start: datetime
    hours: int = 1

    @property
    def end(self) -> datetime:
        """When its last hour is over."""
        return self.start + self.hours * HOUR

    @property
    def last(self) -> datetime:
        """The last hour, as the Export API names it: included."""
        return self.end - HOUR

    @property
    def day(self) -> date:
        """The day it belongs to."""
        return self.start.date()

    @property
    def file_name(self) -> str:
        """The zip's name in its day's folder: `2024-01-31_5.zip`, or `2024-01-31_5-8.zip` of several hours."""
        return f"{self.day}_{self.start.hour}{f'-{self.last.hour}' if self.hours > 1 else ''}.zip"

    def __str__(self) -> str:
        """As messages name it."""
        return f"{self.start:{_KEY}}" + (f"..{self.last:%H}" if self.hours > 1 else "")

    def list_hours(self) -> list[datetime]:
        """Its hours, in order."""
        return [self.start + number * HOUR for number in range(self.hours)]

    def halve(self) -> tuple["Piece", "Piece"]:
        """Two pieces of it; it must have more than one hour."""
        first = self.hours // 2
        return Piece(self.start, first), Piece(self.start + first * HOUR, self.hours - first)


class Pin(msgspec.Struct, frozen=True):
    """What an answer was: a file (its size and sha256), or nothing at all (no sha256)."""

    hours: int
    asked_at: datetime
    size_bytes: int = 0
    sha256: str = ""


class _Export(msgspec.Struct):
    project: str
    pins: dict[str, Pin] = {}


class _State(msgspec.Struct):
    version: int = 1
    exports: dict[str, _Export] = {}


class Pins:
    """The pins of one export in one inbox. Every change is on disk when the call returns."""

    def __init__(self, inbox: Path, name: str, project: str) -> None:
        """Read the state; raises ConfigurationError when `name` holds another project's hours."""
        self._path = inbox / STATE_FILE
        self._state = _read_state(self._path)
        self._export = self._state.exports.setdefault(name, _Export(project))
        if self._export.project != project:
            raise ConfigurationError(
                f"{self._path}: {name!r} was fetched with another key or cluster; give this project a --name of its own"
            )
        self._by_hour: dict[datetime, Piece] = {}
        for key, pin in self._export.pins.items():
            self._index(Piece(datetime.strptime(key, _KEY).replace(tzinfo=UTC), pin.hours))

    def of(self, piece: Piece) -> Pin:
        """What was pinned for exactly this piece."""
        return self._export.pins[f"{piece.start:{_KEY}}"]

    def among(self, hours: Iterable[datetime]) -> list[Piece]:
        """The pinned pieces that have any of these hours, in order."""
        return sorted({self._by_hour[hour] for hour in hours if hour in self._by_hour})

    def is_settled(self, hour: datetime) -> bool:
        """True when the hour was asked for late enough that no more of it can appear."""
        piece = self._by_hour.get(hour)
        return piece is not None and self.of(piece).asked_at >= piece.end + LATENESS

    def has_data(self) -> bool:
        """True when any hour ever brought a file."""
        return any(pin.sha256 for pin in self._export.pins.values())

    def record(self, piece: Piece, pin: Pin) -> list[Piece]:
        """Pin an answer; returns the pieces it takes the place of, whose files are of no use any more.

        An empty answer never takes the place of a file: what was pinned is then kept, and counts as asked for now.
        """
        old = self.among(piece.list_hours())
        kept = [other for other in old if not pin.sha256 and self.of(other).sha256]
        if kept:
            for other in kept:
                self._put(other, msgspec.structs.replace(self.of(other), asked_at=pin.asked_at))
        else:
            for other in old:
                del self._export.pins[f"{other.start:{_KEY}}"]
                for hour in other.list_hours():
                    self._by_hour.pop(hour, None)
            self._put(piece, pin)
        self._write()
        return [other for other in old if not kept and other != piece]

    def _put(self, piece: Piece, pin: Pin) -> None:
        self._export.pins[f"{piece.start:{_KEY}}"] = pin
        self._index(piece)

    def _index(self, piece: Piece) -> None:
        self._by_hour |= dict.fromkeys(piece.list_hours(), piece)

    def _write(self) -> None:
        write_atomically(self._path, msgspec.json.format(msgspec.json.encode(self._state), indent=1))


def name_project(cluster: str, api_key: str) -> str:
    """Tell projects apart in the state without the key itself."""
    return sha256(f"{cluster}\0{api_key}".encode()).hexdigest()[:16]


def list_hours(start: datetime, end: datetime) -> list[datetime]:
    """Every hour that has a part in [start, end)."""
    first = start.replace(minute=0, second=0, microsecond=0)
    count = -(-(end - first) // HOUR)
    return [first + number * HOUR for number in range(count)]


def cut_pieces(hours: Iterable[datetime], most: int) -> Iterator[Piece]:
    """Put consecutive hours of a day together, at most so many in a piece."""
    piece: Piece | None = None
    for hour in hours:
        if piece and piece.end == hour and piece.day == hour.date() and piece.hours < most:
            piece = Piece(piece.start, piece.hours + 1)
            continue
        if piece:
            yield piece
        piece = Piece(hour)
    if piece:
        yield piece


def _read_state(path: Path) -> _State:
    try:
        state = msgspec.json.decode(path.read_bytes(), type=_State)
    except FileNotFoundError:
        return _State()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ExportError(
            f"{path}: not the state of a fetch ({error}); restore it, or move it away to ask again"
        ) from None
    if state.version != 1:
        raise ExportError(f"{path}: version {state.version}, expected 1; a newer Hindcast wrote it")
    return state
