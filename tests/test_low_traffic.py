"""When the nightly window is open, by the clock of its zone."""

from datetime import UTC, date, datetime, time

import pytest

from hindcast.errors import ConfigurationError
from hindcast.low_traffic import LowTraffic, read_low_traffic


def window(opens: str = "02:00", closes: str = "04:00", zone: str = "UTC", *blackout: date) -> LowTraffic:
    return read_low_traffic(time.fromisoformat(opens), time.fromisoformat(closes), zone, list(blackout))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [("01:59:59", False), ("02:00:00", True), ("03:59:59", True), ("04:00:00", False), ("14:00:00", False)],
)
def test_the_close_is_not_in_the_window(moment: str, is_open: bool) -> None:
    assert bool(window().opening_at(at(f"2024-05-17T{moment}"))) is is_open


def test_a_window_over_midnight_belongs_to_the_evening_it_opens_on() -> None:
    opening = window("22:00", "03:00").opening_at(at("2024-05-18T01:00"))
    assert opening and (opening.night, opening.closes_at) == (date(2024, 5, 17), at("2024-05-18T03:00"))


def test_the_zone_decides_what_time_it_is() -> None:
    berlin = window(zone="Europe/Berlin")
    assert berlin.opening_at(at("2024-07-01T00:30")) and not berlin.opening_at(at("2024-07-01T02:30"))


def test_the_window_is_an_hour_shorter_when_clocks_go_forward() -> None:
    opening = window("01:00", "04:00", "Europe/Berlin").opening_at(at("2024-03-31T00:30"))
    assert opening and (opening.closes_at - opening.opens_at).total_seconds() == 2 * 3600


def test_the_next_opening_is_no_blackout_date() -> None:
    closed = window("02:00", "04:00", "UTC", date(2024, 12, 25), date(2024, 12, 26))
    assert closed.next_opening(at("2024-12-24T03:00")).opens_at == at("2024-12-27T02:00")


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../etc/passwd", ""])
def test_an_unknown_zone_is_refused(zone: str) -> None:
    with pytest.raises(ConfigurationError, match="time zone"):
        window(zone=zone)


def test_a_window_without_length_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="two different times"):
        window("02:00", "02:00")
