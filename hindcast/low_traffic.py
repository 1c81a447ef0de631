"""The low-traffic window: when the nightly run may write, by the clock of a time zone, and on which dates not."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hindcast.errors import ConfigurationError


@dataclass(frozen=True)
class Opening:
    """One opening of the window, in UTC. `night` is the local date on which it opens."""

    night: date
    opens_at: datetime
    closes_at: datetime


@dataclass(frozen=True)
class LowTraffic:
    """Daily from `opens_at` up to but not including `closes_at`, local time; may reach over midnight."""

    opens_at: time
    closes_at: time
    zone: ZoneInfo
    blackout_dates: frozenset[date] = frozenset()

    def opening_at(self, now: datetime) -> Opening | None:
        """The opening that `now` falls into, blackout or not; None outside the window."""
        today = now.astimezone(self.zone).date()
        for night in (today, today - timedelta(days=1)):
            opening = self._opening_of(night)
            if opening.opens_at <= now < opening.closes_at:
                return opening
        return None

    def next_opening(self, now: datetime) -> Opening:
        """The first opening after `now` that is no blackout date."""
        night = now.astimezone(self.zone).date()
        while True:
            opening = self._opening_of(night)
            if opening.opens_at > now and night not in self.blackout_dates:
                return opening
            night += timedelta(days=1)

    def _opening_of(self, night: date) -> Opening:
        last = night if self.opens_at < self.closes_at else night + timedelta(days=1)
        # Through UTC: on the day the clocks change, the window is an hour longer or shorter.
        opens_at = datetime.combine(night, self.opens_at, self.zone).astimezone(UTC)
        return Opening(night, opens_at, datetime.combine(last, self.closes_at, self.zone).astimezone(UTC))


def read_low_traffic(opens_at: time, closes_at: time, time_zone: str, blackout_dates: list[date]) -> LowTraffic:
    """Make a window of a form's values; raises ConfigurationError for an unknown zone or a window without length."""
    try:
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigurationError(f"time zone {time_zone!r}: unknown; expected one like UTC or Europe/Berlin") from None
    if opens_at == closes_at:
        raise ConfigurationError(f"the window opens and closes at {opens_at}: give two different times")
    return LowTraffic(opens_at, closes_at, zone, frozenset(blackout_dates))
