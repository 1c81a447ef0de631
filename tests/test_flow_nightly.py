"""Nights: in the window and outside it, over several nights, with exports that fail."""

import os
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flow_runs import backfill
from loading import count_events, make_event, query, write_export

pytest_plugins = ["flow_fixtures", "loading_fixtures"]
pytestmark = pytest.mark.flow

SLOW = """
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.5); RETURN NEW; END $$;
CREATE TRIGGER slow BEFORE INSERT ON import_chunks FOR EACH ROW EXECUTE FUNCTION wait()
"""
TABLE = (
    "SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM (SELECT event_id, created_at, payload, export_line, \
user_id, event_type FROM analytics_events) AS t"
)
ROLLUPS = "SELECT sum(events), count(*) FROM daily_events"


def deliver(inbox: Path, name: str, records: Iterable[Any]) -> Path:
    """An export that arrived an hour ago."""
    inbox.mkdir(exist_ok=True)
    file = write_export(inbox / name, records)
    os.utime(file, (time.time() - 3600,) * 2)
    return file


def run_night(inbox: Path, seconds: float = 3600, begins_in: float = -60, **parameters: Any) -> Any:
    """A night whose window opened a minute ago and closes so many seconds from now; returns its final state."""
    from flows.nightly import nightly

    now = datetime.now(UTC)
    opens, closes = (now + timedelta(seconds=s) for s in (begins_in, seconds))
    return nightly(inbox=str(inbox), opens_at=opens.time(), closes_at=closes.time(), return_state=True, **parameters)


def test_a_night_imports_what_is_new_and_the_next_night_nothing(database: str, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    deliver(inbox, "a.jsonl", map(make_event, range(10)))
    deliver(inbox, "b.jsonl", map(make_event, range(10, 20)))
    (inbox / "c.jsonl").write_text("{}\n")  # this very moment
    first, second = run_night(inbox), run_night(inbox)
    assert (first.type, first.message) == ("COMPLETED", "2 imported, 1 still being written")
    assert (second.message, count_events(database)) == ("2 finished, 1 still being written", 20)


def test_an_export_too_large_for_a_night_is_finished_on_the_third(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = tmp_path / "inbox"
    monkeypatch.setenv("HINDCAST_CHUNK_SIZE", "5")
    deliver(inbox, "a.jsonl", map(make_event, range(120)))
    query(database, SLOW)
    states, loaded = [], []
    for seconds in (5, 5, 3600):  # the 24 chunks take at least 12 s
        states.append(run_night(inbox, seconds))
        loaded.append(count_events(database))
        assert (query(database, ROLLUPS)[0][0] or 0) == loaded[-1]  # also of what is half imported
    assert [state.name for state in states] == ["WindowClosed", "WindowClosed", "Completed"]
    assert loaded[0] <= loaded[1] and 0 < loaded[1] < loaded[2] == 120
    assert query(database, "SELECT status, counts ->> 'duplicate' FROM import_runs") == [("succeeded", "0")]  # one run
    by_nights = query(database, TABLE)
    query(database, "DROP TRIGGER slow ON import_chunks; TRUNCATE analytics_events, import_runs CASCADE")
    backfill(inbox / "a.jsonl")
    assert query(database, TABLE) == by_nights


@pytest.mark.parametrize(
    ("when", "name"),
    [
        ({"begins_in": 3600, "seconds": 7200}, "OutsideWindow"),
        ({"blackout_dates": [datetime.now(UTC).date() + timedelta(days) for days in (-1, 0, 1)]}, "Blackout"),
    ],
)
def test_outside_the_window_and_on_blackout_dates_nothing_is_done(
    database: str, tmp_path: Path, when: dict[str, Any], name: str
) -> None:
    inbox = tmp_path / "inbox"
    deliver(inbox, "a.jsonl", map(make_event, range(10)))
    state = run_night(inbox, **when)
    assert (state.type, state.name) == ("COMPLETED", name)
    assert "it opens next at" in state.message and count_events(database) == 0


def test_an_export_that_fails_does_not_keep_the_next_from_being_imported(database: str, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    deliver(inbox, "a.jsonl", ["no json"] * 3)
    deliver(inbox, "b.jsonl", map(make_event, range(10)))
    state = run_night(inbox, format="analytics_history")
    assert (state.type, count_events(database)) == ("FAILED", 10)
    assert state.message.startswith("1 failed, 1 imported; a.jsonl: gate export:")
