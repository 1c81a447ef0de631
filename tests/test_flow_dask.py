"""A whole backfill on a Dask cluster, a worker of which is killed while it loads."""

import threading
from pathlib import Path
from typing import Any

import pytest
from dask_processes import dask_cluster
from flow_runs import backfill, wait_until
from loading import query

from hindcast.rollups import rollups_of
from hindcast.synthetic import GenerateSpec, generate
from hindcast.tables import metadata

pytest_plugins = ["flow_fixtures", "loading_fixtures"]
pytestmark = [
    pytest.mark.flow,
    # Dask's own, when a cluster goes away under it.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
SLOW = """
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END $$;
CREATE TRIGGER slow BEFORE INSERT ON import_chunks FOR EACH ROW EXECUTE FUNCTION wait()
"""
LOADED = "SELECT count(*) FROM import_chunks"


def tables_of(url: str) -> dict[str, Any]:
    """Rows, rollups and the ledger's digests."""
    asked = {
        "rows": "SELECT event_id, created_at, user_id, payload, export_line FROM analytics_events",
        "digests": "SELECT chunk_number, digest, loaded, duplicate, conflict, rejected FROM import_chunks",
        "rejects": "SELECT part, line, code FROM import_rejects",
        "conflicts": "SELECT part, line, against, is_replaced FROM import_conflicts",
    } | {name: f"SELECT * FROM {name}" for name in rollups_of("analytics_history")}  # noqa: S608  # names of ours
    return {name: sorted(map(repr, query(url, sql))) for name, sql in asked.items()}


def test_a_backfill_on_dask_with_a_worker_killed_gives_the_tables_of_a_local_one(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = tmp_path / "history.jsonl"
    generate(GenerateSpec("analytics_history", 1_000, 7, export))
    monkeypatch.setenv("HINDCAST_SEGMENT_BYTES", "262144")
    with dask_cluster(tmp_path, 2) as (address, workers):  # they start meanwhile
        local = backfill(export, chunk=50).report
        expected = tables_of(database)
        query(database, f"TRUNCATE {', '.join(table.name for table in metadata.sorted_tables)}")
        query(database, SLOW)
        monkeypatch.setenv("HINDCAST_HOME", str(tmp_path / "shared"))
        monkeypatch.setenv("HINDCAST_DASK_ADDRESS", address)
        monkeypatch.setattr("flows.job.RECORDS_A_TASK", 200)  # so that both load at once

        loaded: list[int] = []

        def kill_first() -> None:
            wait_until(lambda: query(database, LOADED)[0][0] > 3)
            workers[0].kill()
            loaded.append(query(database, LOADED)[0][0])

        killer = threading.Thread(target=kill_first)
        killer.start()
        report = backfill(export, chunk=50).report
        killer.join()
        assert workers[0].wait(timeout=10) and workers[1].poll() is None
    assert tables_of(database) == expected
    assert loaded[0] < len(expected["digests"])
    assert report["verification"]["status"] == "passed"
    names = ("loaded", "lines", "rejected", "duplicate", "conflict", "months", "skipped")
    assert {name: report[name] for name in names} == {name: local[name] for name in names}
