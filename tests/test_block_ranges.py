"""What a load wrote to large months is marked and summarised before it is read again."""

from datetime import date
from pathlib import Path

import pytest
from loading import load, make_event, query, write_export

from hindcast import block_ranges
from hindcast.block_ranges import BlocksAtHand, summarise_months
from hindcast.database import connect
from hindcast.settings import load_settings

pytest_plugins = ["loading_fixtures"]
DAYS = [date(2024, 1, 31), date(2024, 2, 1)]
MARKED = "SELECT sum(relallvisible)::int FROM pg_class WHERE relname ~ '_2024_0[12]$'"


@pytest.fixture
def filled(target: str, tmp_path: Path) -> str:
    """More than one block range: one is summarised when its index is made."""
    events = (make_event(n, payload={"text": f"{n}" * 400}) for n in range(900))
    load(target, write_export(tmp_path / "export.jsonl", events))
    return target


def summarise(url: str) -> int:
    with connect(url, load_settings()) as connection:
        return summarise_months(connection, DAYS)


def test_a_large_months_ranges_are_summarised_once(filled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_ranges, "LARGE_BYTES", 1)
    assert summarise(filled) > 0
    assert summarise(filled) == 0


def test_a_small_month_is_left_alone(filled: str) -> None:
    assert summarise(filled) == 0


def test_what_a_load_writes_is_marked_and_summarised_by_the_load(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_ranges, "LARGE_BYTES", 1)
    # As in any server but the tests': a row is marked once its commit is on the disk.
    (database,) = query(target, "SELECT current_database()")[0]
    query(target, f"ALTER DATABASE {database} SET synchronous_commit = on")
    events = (make_event(n, payload={"text": f"{n}" * 400}) for n in range(900))
    load(target, write_export(tmp_path / "export.jsonl", events), chunk=100)
    assert summarise(target) == 0
    marked = "SELECT relname, relallvisible > 0.9 * relpages FROM pg_class WHERE relname ~ '_2024_0[12]$' ORDER BY 1"
    assert query(target, marked) == [(f"analytics_events_2024_0{month}", True) for month in (1, 2)]


def test_where_another_is_at_it_a_load_reads_its_blocks_and_does_not_wait(
    filled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_ranges, "LARGE_BYTES", 1)
    with connect(filled, load_settings(), autocommit=False) as other, connect(filled, load_settings()) as connection:
        other.execute("LOCK TABLE analytics_events_2024_01, analytics_events_2024_02 IN SHARE UPDATE EXCLUSIVE MODE")
        BlocksAtHand(connection).finish(DAYS)
    assert query(filled, MARKED) == [(0,)]
    assert summarise(filled) > 0


def test_who_is_no_owner_leaves_it_to_autovacuum(filled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_ranges, "LARGE_BYTES", 1)
    query(filled, "DROP ROLE IF EXISTS no_owner")
    query(filled, "CREATE ROLE no_owner")
    query(filled, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO no_owner")
    with connect(filled, load_settings()) as connection:
        connection.execute("SET ROLE no_owner")
        assert summarise_months(connection, DAYS) == 0
        BlocksAtHand(connection).finish(DAYS)
    assert query(filled, MARKED) == [(0,)]
    query(filled, "DROP OWNED BY no_owner")
    query(filled, "DROP ROLE no_owner")
