"""One item ahead of whoever uses them."""

from collections.abc import Generator

import pytest

from hindcast.lookahead import one_ahead


def count(made: list[int], ends: list[str], fails_at: int = 5) -> Generator[int, None, None]:
    try:
        for number in range(5):
            if number == fails_at:
                raise ValueError(f"no {number}")
            made.append(number)
            yield number
    finally:
        ends.append("closed")


def test_items_come_in_order_and_the_next_is_made_meanwhile() -> None:
    made: list[int] = []
    ends: list[str] = []
    assert list(one_ahead(count(made, ends))) == [0, 1, 2, 3, 4]
    assert ends == ["closed"]
    assert list(one_ahead(item for item in ())) == []


def test_an_error_comes_after_the_items_before_it() -> None:
    made: list[int] = []
    ends: list[str] = []
    seen: list[int] = []
    with pytest.raises(ValueError, match="no 2"):
        seen.extend(one_ahead(count(made, ends, fails_at=2)))
    assert (made, ends) == ([0, 1], ["closed"])


def test_who_stops_early_closes_what_makes_them() -> None:
    made: list[int] = []
    ends: list[str] = []
    items = one_ahead(count(made, ends))
    assert next(items) == 0
    items.close()
    assert made == [0, 1] and ends == ["closed"]
