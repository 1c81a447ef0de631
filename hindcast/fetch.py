"""Fetching an Amplitude project's history into an inbox, hour by hour, resumable at any moment.

An hour that was answered is not asked for again: downloads are not byte-stable, so what came first is what counts. Only
an hour asked for while more of it could still appear is asked for once more.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from itertools import groupby
from pathlib import Path
from typing import Final

from hindcast.errors import ConfigurationError, ExportError
from hindcast.fetch_api import ExportApi, TooLarge
from hindcast.fetch_days import Days, alone_in
from hindcast.fetch_hours import HOUR, Piece, Pin, Pins, cut_pieces, list_hours
from hindcast.progress import tell
from hindcast.storage import is_s3

STEP: Final = "fetch"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Order:
    """What to fetch: every hour with a part in [start, end), into `inbox`, where the export is called `name`."""

    inbox: str
    start: datetime
    end: datetime
    name: str
    hours_per_request: int = 1
    is_forced: bool = False
    is_partial: bool = False


@dataclass
class Summary:
    """What a fetch did. Hours of the order = downloaded + empty + known + not_yet + those of problems."""

    hours: int = 0
    hours_downloaded: int = 0
    hours_empty: int = 0
    hours_known: int = 0
    hours_not_yet: int = 0
    hours_to_ask_again: int = 0
    files: int = 0
    size_bytes: int = 0
    requests: int = 0
    retries: int = 0
    splits: int = 0
    days_delivered: list[str] = field(default_factory=list)
    days_waiting: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def fetch(order: Order, api: ExportApi, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Summary:
    """Fetch an order; what cannot be had is in the summary's problems, all else is fetched.

    Safe to run twice, and to kill. Raises ConfigurationError for an inbox or name that will not do or refused keys, and
    ExportError when the API stays out of reach or the disk fails; what was pinned until then stays.
    """
    inbox = _check(order)
    try:
        inbox.mkdir(parents=True, exist_ok=True)
        with alone_in(inbox):
            return _Fetch(order, inbox, api, clock).run()
    except OSError as error:
        raise ExportError(f"{error.filename or inbox}: {error.strerror or error}") from None


def _check(order: Order) -> Path:
    if not order.inbox:
        raise ConfigurationError("no inbox: give --inbox PATH or set HINDCAST_INBOX")
    if is_s3(order.inbox):
        raise ConfigurationError(
            f"inbox {order.inbox!r}: fetching needs a folder; copy its day folders to S3 afterwards"
        )
    if not _NAME.fullmatch(order.name):
        raise ConfigurationError(f"--name {order.name[:80]!r}: expected letters, digits, dots, dashes, at most 64")
    return Path(order.inbox).absolute()


class _Fetch:
    def __init__(self, order: Order, inbox: Path, api: ExportApi, clock: Callable[[], datetime]) -> None:
        self._order, self._api, self._clock = order, api, clock
        self._pins = Pins(inbox, order.name, api.project)
        self._days = Days(inbox, order.name)
        self._summary = Summary()
        ordered, now = list_hours(order.start, order.end), clock()
        self._hours = {hour: None for hour in ordered if hour + HOUR <= now}  # in order
        self._summary.hours, self._summary.hours_not_yet = len(ordered), len(ordered) - len(self._hours)
        self._done = 0

    def run(self) -> Summary:
        summary, pins = self._summary, self._pins
        tell(STEP, 0, len(self._hours))
        for day, hours in groupby(self._hours, datetime.date):
            self._fetch_day(day, list(hours))
        summary.requests, summary.retries = self._api.requests, self._api.retries
        pinned = [hour for piece in pins.among(self._hours) for hour in piece.list_hours() if hour in self._hours]
        summary.hours_to_ask_again = len([hour for hour in pinned if not pins.is_settled(hour)])
        if summary.hours_empty and not pins.has_data():
            summary.notes.append("no hour has ever brought data: is it the right project, --cluster and period?")
        return summary

    def _fetch_day(self, day: date, hours: list[datetime]) -> None:
        whole_day = Piece(datetime.combine(day, time(), UTC), 24).list_hours()
        pinned = self._pins.among(whole_day)
        self._days.sweep(day, {piece.file_name: self._pins.of(piece).sha256 for piece in pinned})
        asked = [hour for hour in hours if self._order.is_forced or not self._pins.is_settled(hour)]
        # A pinned piece is replaced whole: what it has beside the hours asked for is asked for with them.
        wanted = {*asked, *(hour for piece in self._pins.among(asked) for hour in piece.list_hours())}
        is_sound = self._check_known([piece for piece in pinned if piece.start not in wanted])
        for piece in cut_pieces(sorted(wanted), self._order.hours_per_request):
            self._fetch_piece(piece)
            self._advance(piece)
        settled = sum(map(self._pins.is_settled, whole_day))
        if is_sound and (self._order.is_partial or settled == len(whole_day)):
            if self._days.deliver(day):
                self._summary.days_delivered.append(str(day))
        elif settled < len(whole_day):
            self._summary.days_waiting[str(day)] = settled

    def _check_known(self, pieces: list[Piece]) -> bool:
        """Count what is known already; False when a file of the day is not what was pinned."""
        faults = []
        for piece in pieces:
            pin = self._pins.of(piece)
            if pin.sha256 and (fault := self._days.find_fault(piece, pin)):
                faults.append(fault)
            else:
                self._summary.hours_known += self._count(piece)
            self._advance(piece)
        self._summary.problems += faults
        return not faults

    def _fetch_piece(self, piece: Piece) -> None:
        """Ask for a piece, in halves when it is too large; an hour that is becomes a problem."""
        asked_at, part = self._clock(), self._days.part_of(piece)
        try:
            download = self._api.download(piece, part)
        except TooLarge as error:
            part.unlink(missing_ok=True)
            if piece.hours > 1:
                self._summary.splits += 1
                for half in piece.halve():
                    self._fetch_piece(half)
                return
            self._summary.problems.append(
                f"{error}; an hour cannot be split: have Amplitude export it to S3, import it from there,"
                " and deliver the rest of the day with --partial"
            )
            return
        if download:
            self._pin_file(piece, Pin(piece.hours, asked_at, download.size_bytes, download.sha256))
        else:
            part.unlink(missing_ok=True)
            self._pin_nothing(piece, Pin(piece.hours, asked_at))

    def _pin_file(self, piece: Piece, pin: Pin) -> None:
        # Pinned first: killed in between, the next fetch knows the part by its sha256 and gives it its name.
        replaced = self._pins.record(piece, pin)
        self._days.keep(piece)
        for other in replaced:
            self._days.discard(other)
        self._summary.files += 1
        self._summary.hours_downloaded += self._count(piece)
        self._summary.size_bytes += pin.size_bytes

    def _pin_nothing(self, piece: Piece, pin: Pin) -> None:
        self._pins.record(piece, pin)
        pinned = self._pins.among(piece.list_hours())
        if any(self._pins.of(other).sha256 for other in pinned):
            self._summary.hours_known += self._count(piece)
            self._summary.notes.append(
                f"hours {piece}: Amplitude has nothing for them any more; what was pinned is kept"
            )
        else:
            self._summary.hours_empty += self._count(piece)

    def _count(self, piece: Piece) -> int:
        return sum(hour in self._hours for hour in piece.list_hours())

    def _advance(self, piece: Piece) -> None:
        self._done += self._count(piece)
        tell(STEP, self._done, len(self._hours))
