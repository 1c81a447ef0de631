"""How times are read: spellings, zones, epochs, and what is no time."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hindcast.errors import RecordError
from hindcast.times import check_range, format_utc, from_microseconds, parse_time, to_microseconds

NOON = datetime(2024, 7, 1, 12, tzinfo=UTC)
AWARE = {
    "2024-07-01T12:00:00Z": NOON,
    "2024-07-01t12:00:00z": NOON,
    "2024-07-01 12:00:00Z": NOON,
    "2024-07-01T12:00:00.000Z": NOON,
    " 2024-07-01T12:00:00Z ": NOON,
    "2024-07-01T14:00:00+02:00": NOON,
    "2024-07-01T06:30:00-05:30": NOON,
    "2024-07-01T12:00:00-00:00": NOON,
    "2024-07-02T11:59:00+23:59": NOON,
    "20240701T120000Z": NOON,
    "2024-07-01T12:00:00.1234564Z": NOON + timedelta(microseconds=123456),
    "2024-07-01T12:00:00.1234567Z": NOON + timedelta(microseconds=123457),
    "2024-07-01T12:00:00.999999999Z": NOON + timedelta(seconds=1),
    "2024-06-30T23:59:60Z": datetime(2024, 7, 1, tzinfo=UTC),
    "2024-06-30T23:59:60.5Z": datetime(2024, 7, 1, microsecond=500_000, tzinfo=UTC),
    "1719835200": NOON,
    "1719835200000": NOON,
}
NAIVE = {
    "2024-07-01 12:00": NOON,
    "2024-07-01 12:00:00": NOON,
    "2024-07-01 12:00:00.25": NOON + timedelta(milliseconds=250),
    "2024-07-01T12:00:00": NOON,
    "2024-07-01": datetime(2024, 7, 1, tzinfo=UTC),
    "2024-12-31 23:59:60": datetime(2025, 1, 1, tzinfo=UTC),
    "20240701": datetime(2024, 7, 1, tzinfo=UTC),
}
EPOCHS = {
    0: datetime(1970, 1, 1, tzinfo=UTC),
    1719835200: NOON,
    1719835200.25: NOON + timedelta(milliseconds=250),
    1719835200000: NOON,
    1719835200123.5: NOON + timedelta(microseconds=123500),
    99_999_999_999: datetime(5138, 11, 16, 9, 46, 39, tzinfo=UTC),
    100_000_000_000: datetime(1973, 3, 3, 9, 46, 40, tzinfo=UTC),
    -1: datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC),
}
NO_TIMES = [
    "", " ", "yesterday", "now", "2024-02-30", "2023-02-29T00:00:00Z", "2024-13-01", "2024-07-01T25:00:00Z",
    "2024-07-01T12:00:61Z", "2024-07-01T12:60:00Z", "2024-06-31T23:59:60Z", "0000-01-01T00:00:00Z",
    "10000-01-01T00:00:00Z", "2024-07-01T12:00:00+24:00", "01/07/2024", "2024-7-1", "12:00:00", "171983520",
    "17198352000000", "١٧١٩٨٣٥٢٠٠", "9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00", "NaN", "1e9",
    True, False, None, [], {}, 10**14, -(10**14), 10**400, -99_999_999_999,
]  # fmt: skip


@pytest.mark.parametrize(("text", "moment"), AWARE.items())
def test_a_time_with_a_zone_is_read_in_utc(text: str, moment: datetime) -> None:
    assert parse_time(text) == (moment, False)


@pytest.mark.parametrize(("text", "moment"), NAIVE.items())
def test_a_time_without_a_zone_is_utc_and_said_to_be_naive(text: str, moment: datetime) -> None:
    assert parse_time(text) == (moment, True)


@pytest.mark.parametrize(("number", "moment"), EPOCHS.items())
def test_an_epoch_is_seconds_or_milliseconds_by_its_size(number: float, moment: datetime) -> None:
    assert parse_time(number) == (moment, False)


@pytest.mark.parametrize("value", NO_TIMES, ids=lambda value: repr(value)[:40])
def test_what_is_no_time_is_refused(value: object) -> None:
    with pytest.raises(RecordError) as refused:
        parse_time(value)
    assert refused.value.code == "invalid_time"
    assert len(refused.value.sentence) < 150


@given(
    st.one_of(st.text(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.decimals(allow_nan=False))
)
def test_no_value_makes_reading_a_time_fail_otherwise(value: object) -> None:
    try:
        moment, _ = parse_time(value)
    except RecordError:
        return
    assert moment.tzinfo is UTC


offsets = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(timezones=offsets))
def test_every_iso_time_with_an_offset_is_the_same_instant(moment: datetime) -> None:
    try:
        instant = moment.astimezone(UTC)
    except OverflowError:
        return
    assert parse_time(moment.isoformat()) == (instant, False)


@given(st.datetimes(timezones=st.just(UTC)))
def test_microseconds_go_there_and_back(moment: datetime) -> None:
    assert from_microseconds(to_microseconds(moment)) == moment


def test_the_range_includes_both_of_its_ends() -> None:
    check_range(datetime(1970, 1, 1, tzinfo=UTC), NOON)
    check_range(NOON, NOON)
    for moment in (datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), NOON + timedelta(microseconds=1)):
        with pytest.raises(RecordError) as refused:
            check_range(moment, NOON)
        assert refused.value.code == "time_out_of_range"


def test_reports_write_utc_with_microseconds() -> None:
    assert format_utc(NOON.astimezone(timezone(timedelta(hours=5)))) == "2024-07-01T12:00:00.000000Z"
    assert format_utc(None) is None
