"""Rollback and restore killed with SIGKILL at one statement after the other end in the same tables."""

from pathlib import Path

import psycopg
import pytest
from killing import run_killed
from loading import Import, count_events, load, make_event, query, write_export
from undoing import rebuild_rollups, restore, roll_back, table_digest

from hindcast.retired import find_left

pytest_plugins = ["loading_fixtures"]

UNRESTORED = "SELECT archive_id::text, status FROM import_archives WHERE status <> 'restored'"


def kill_again_and_again(call: str, arguments: tuple[str, ...], moments: tuple[int, ...]) -> int:
    """Returns how many attempts were killed before one came to its end."""
    for kills, at in enumerate(moments):
        if run_killed(call, arguments, at) is not None:
            return kills
    return len(moments)


@pytest.fixture
def loaded(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Import:
    """January holds somebody else's row, February and its 60 do not; a few rows had replaced others."""
    monkeypatch.setenv("HINDCAST_PRUNE_CHUNK_ROWS", "10")
    old = [make_event(number, event_id=f"own-{number}", course_id="old") for number in range(5)]
    load(target, write_export(tmp_path / "old.jsonl", old), dataset="old")
    events = [make_event(number, event_id=f"own-{number}") for number in range(120)]
    begun = load(target, write_export(tmp_path / "h.jsonl", events), on_conflict="replace")
    query(target, "INSERT INTO analytics_events (event_type, created_at) VALUES ('x', '2024-01-05 00:00:00+00')")
    rebuild_rollups(target)
    return begun


def test_killed_at_statements_from_the_first_to_the_last(target: str, loaded: Import, tmp_path: Path) -> None:
    before, run_id = table_digest(target), loaded.run.run_id
    archive = roll_back(target, run=run_id)["archive"]
    after = table_digest(target)
    restore(target, archive)
    assert table_digest(target) == before != after

    moments = (
        *(12, 38, 49, 52, 62, 68),  # previewed, begun, watched, archived
        *(81, 54, 57, 62, 66, 67),  # the month detached, renamed, made again
        *(56, 58, 70, 81),  # rows deleted one by one, rollups
    )
    kills = kill_again_and_again("roll_back", (target, str(run_id)), moments)
    roll_back(target, run=run_id)
    assert table_digest(target) == after
    ((archive, status),) = query(target, UNRESTORED)
    assert (status, kills) == ("deleted", 16)

    kills = kill_again_and_again("restore", (target, archive), (3, 8, 12, 17, 22, 29, 34, 45, 52, 58))
    restore(target, archive)
    assert (table_digest(target), count_events(target), kills) == (before, 121, 10)
    with psycopg.connect(target) as connection:
        assert not find_left(connection)
    assert query(target, "SELECT dataset, status FROM import_runs ORDER BY 1") == [
        ("analytics_history", "succeeded"),
        ("old", "succeeded"),
    ]
