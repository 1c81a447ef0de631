"""Block ranges of large months are summarised before some of their days are read."""

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


def test_what_a_load_writes_is_summarised_by_the_load(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_ranges, "LARGE_BYTES", 1)
    events = (make_event(n, payload={"text": f"{n}" * 400}) for n in range(900))
    load(target, write_export(tmp_path / "export.jsonl", events), chunk=100)
    assert summarise(target) == 0


def test_where_another_is_at_it_a_load_reads_its_blocks_and_does_not_wait(
    filled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_ranges, "LARGE_BYTES", 1)
    with connect(filled, load_settings(), autocommit=False) as other, connect(filled, load_settings()) as connection:
        other.execute("LOCK TABLE analytics_events_2024_01, analytics_events_2024_02 IN SHARE UPDATE EXCLUSIVE MODE")
        BlocksAtHand(connection).read(DAYS)
    assert summarise(filled) > 0


def test_who_is_no_owner_leaves_it_to_autovacuum(filled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_ranges, "LARGE_BYTES", 1)
    query(filled, "DROP ROLE IF EXISTS no_owner")
    query(filled, "CREATE ROLE no_owner")
    query(filled, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO no_owner")
    with connect(filled, load_settings()) as connection:
        connection.execute("SET ROLE no_owner")
        assert summarise_months(connection, DAYS) == 0
    query(filled, "DROP OWNED BY no_owner")
    query(filled, "DROP ROLE no_owner")
