"""When the pace changes: limits crossed, held, calm again. A clock of the test's own."""

from math import inf

from hindcast.throttle import CALM_SAMPLES, HOLD_AT, Decision, Reading, Throttle

FAST = 10_000.0


def read(severity: float) -> list[Reading]:
    return [Reading("canary p95", 10 * severity, 10, "ms"), Reading("wal rate", 1, 128, "MB/s")]


def decide(throttle: Throttle, *severities: float, start: float = 0.0) -> list[Decision | None]:
    """One sample a second; the load does what it is allowed, 10,000 rows a second at most."""
    return [
        throttle.decide(read(severity), min(FAST, throttle.rate), start + n) for n, severity in enumerate(severities)
    ]


def actions(decisions: list[Decision | None]) -> list[str]:
    return [decision.action for decision in decisions if decision]


def test_with_nothing_wrong_nothing_is_decided() -> None:
    throttle = Throttle(300)
    assert not actions(decide(throttle, *[0.7] * 60))
    assert throttle.rate == inf


def test_a_crossed_limit_halves_what_was_reached() -> None:
    throttle = Throttle(300)
    *_, decision = decide(throttle, 0.5, 0.5, 1.2)
    assert decision and decision.action == "slow" and decision.rows_per_second == FAST / 2
    assert decision.reading.signal == "canary p95" and decision.reading.value == 12


def test_a_rate_that_our_pace_makes_is_brought_just_under_its_limit() -> None:
    throttle = Throttle(300)
    decision = throttle.decide([Reading("wal rate", 132, 128, "MB/s", is_rate=True)], FAST, 0)
    assert decision and decision.action == "slow" and decision.rows_per_second == FAST * 0.95 * 128 / 132
    throttle = Throttle(300)
    decision = throttle.decide([Reading("wal rate", 500, 128, "MB/s", is_rate=True)], FAST, 0)
    assert decision and decision.rows_per_second == FAST / 2, "at most halved at once, like any other"


def test_the_strictest_of_the_crossed_limits_sets_the_cut() -> None:
    readings = [Reading("wal rate", 140, 128, "MB/s", is_rate=True), Reading("canary p95", 10.1, 10, "ms")]
    decision = Throttle(300).decide(readings, FAST, 0)
    assert decision and decision.rows_per_second == FAST / 2


def test_it_is_not_cut_again_before_the_first_cut_can_show() -> None:
    throttle = Throttle(300)
    assert actions(decide(throttle, *[1.5] * 5)) == ["slow"]
    assert actions(decide(throttle, 1.5, start=6)) == ["slow"]
    assert throttle.rate == FAST / 4


def test_between_the_limit_and_calm_the_pace_stays() -> None:
    throttle = Throttle(300)
    decide(throttle, 1.5)
    assert not actions(decide(throttle, *[0.9] * 30, start=1))


def test_after_calm_it_gets_faster_step_by_step_until_it_is_free() -> None:
    throttle = Throttle(300)
    decide(throttle, 0.5, 1.5)
    decisions = decide(throttle, *[0.1] * 40, start=2)
    rates = [d.rows_per_second for d in decisions if d and d.action == "raise"]
    assert rates == sorted(rates) and len(rates) > 5
    assert actions(decisions)[-1] == "free" and throttle.rate == inf
    assert decisions[: CALM_SAMPLES - 1] == [None] * (CALM_SAMPLES - 1)


def test_a_broken_limit_holds_until_it_is_calm() -> None:
    throttle = Throttle(300)
    decisions = decide(throttle, 0.5, HOLD_AT, 2, 0.9, 0.9, 0.9)
    assert actions(decisions) == ["hold"] and throttle.rate == 0
    assert actions(decide(throttle, *[0.1] * CALM_SAMPLES, start=6)) == ["raise"]
    assert 0 < throttle.rate < FAST / 5


def test_a_hold_that_lasts_too_long_becomes_a_trickle_and_is_not_held_again() -> None:
    throttle = Throttle(20)
    decisions = decide(throttle, 0.5, *[HOLD_AT * 2] * 60)
    assert actions(decisions) == ["hold", "trickle"]
    assert throttle.rate == FAST / 50


def test_it_never_gets_slower_than_its_lowest_pace() -> None:
    throttle = Throttle(300)
    decide(throttle, *[1.5] * 300)
    assert throttle.rate == FAST / 50


def test_without_signals_nothing_is_decided() -> None:
    assert Throttle(300).decide([], 0, 0) is None
