"""Backfill through Prefect: what it loads, records and reports."""

import pytest
from flow_runs import SAMPLE, backfill
from loading import count_events

pytest_plugins = ["flow_fixtures", "loading_fixtures"]
pytestmark = pytest.mark.flow


def test_the_sample_loads_three_rows(database: str) -> None:
    outcome = backfill(SAMPLE)
    assert outcome.report["loaded"] == count_events(database) == 3

def test_the_sample_loads_three_rows2(database: str) -> None:
    import cProfile, pstats
    outcome = backfill(SAMPLE)
    print(outcome.report["timings"], outcome.report["seconds"])
    import time
    t=time.time()
    pr = cProfile.Profile(); pr.enable()
    outcome = backfill(SAMPLE)
    pr.disable()
    print(time.time()-t)
    print(outcome.report["timings"], outcome.report["seconds"])
    pstats.Stats(pr).sort_stats("cumulative").print_stats(45)
