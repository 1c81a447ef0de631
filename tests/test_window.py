"""Windows: half-open, in UTC, and refused when they make no sense."""

from datetime import UTC, datetime, timedelta

import pytest

from hindcast.errors import ConfigurationError
from hindcast.window import Window, parse_window

JANUARY = datetime(2024, 1, 1, tzinfo=UTC)
FEBRUARY = datetime(2024, 2, 1, tzinfo=UTC)


def test_a_window_holds_its_start_and_not_its_end() -> None:
    window = parse_window("2024-01-01..2024-02-01")
    assert window == Window(JANUARY, FEBRUARY)
    assert window.contains(JANUARY)
    assert window.contains(FEBRUARY - timedelta(microseconds=1))
    assert not window.contains(FEBRUARY)
    assert not window.contains(JANUARY - timedelta(microseconds=1))


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("2024-01-01..", Window(JANUARY, None)),
        ("..2024-02-01", Window(None, FEBRUARY)),
        ("..", Window()),
        ("", Window()),
        (None, Window()),
        (" 2024-01-01 .. 2024-02-01 ", Window(JANUARY, FEBRUARY)),
        ("2024-01-01T01:00:00+01:00..2024-02-01T00:00:00Z", Window(JANUARY, FEBRUARY)),
    ],
)
def test_either_side_may_be_open(text: str | None, window: Window) -> None:
    assert parse_window(text) == window


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("2024-01-01", "START..END"),
        ("2024-01-01...2024-02-01", "expected a UTC time"),
        ("2024-02-30..2024-03-01", "expected a UTC time"),
        ("2024-02-01..2024-01-01", "not before its end"),
        ("2024-01-01..2024-01-01", "not before its end"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused_with_the_reason(text: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        parse_window(text)


def test_reports_show_a_window_by_its_two_ends() -> None:
    assert Window(JANUARY, None).isoformat() == ["2024-01-01T00:00:00+00:00", None]
    assert Window().isoformat() is None
