"""Moments as a person types them."""

from datetime import UTC, datetime

import pytest

from hindcast.errors import ConfigurationError
from hindcast.relative_times import parse_moment

NOW = datetime(2025, 3, 31, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", "2025-03-31T12:30:00"),
        ("90 minutes ago", "2025-03-31T11:00:00"),
        ("1 hour ago", "2025-03-31T11:30:00"),
        ("2 Days ago", "2025-03-29T12:30:00"),
        ("1 week ago", "2025-03-24T12:30:00"),
        ("1 month ago", "2025-02-28T12:30:00"),
        ("15 months ago", "2023-12-31T12:30:00"),
        ("1 year ago", "2024-03-31T12:30:00"),
        (" 2024-02-29 ", "2024-02-29T00:00:00"),
        ("2024-02-29T07", "2024-02-29T07:00:00"),
        ("2024-02-29T07:05:06.5+02:00", "2024-02-29T05:05:06.500000"),
    ],
)
def test_a_moment_is_read(text: str, expected: str) -> None:
    assert parse_moment(text, NOW).isoformat() == f"{expected}+00:00"


@pytest.mark.parametrize("text", ["", "yesterday", "2 fortnights ago", "2024-02-30", "9999 years ago", "-1 days ago"])
def test_anything_else_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"expected now, N minutes"):
        parse_moment(text, NOW)
