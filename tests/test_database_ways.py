"""What a database prefers for its sessions: values and statements are ours all the same, from import to undo."""

from pathlib import Path

import psycopg
import pytest
from loading import load, make_event, write_export
from psycopg import sql
from undoing import rebuild_rollups, restore, roll_back

from expectations.gate import TargetView, run_table_gate
from hindcast.database import SESSION, connect, migrate
from hindcast.settings import load_settings

pytest_plugins = ["loading_fixtures"]

WAYS = {
    "datestyle": "German",
    "timezone": "America/New_York",
    "intervalstyle": "sql_standard",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "client_encoding": "LATIN1",
    "quote_all_identifiers": "on",
    "standard_conforming_strings": "off",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "default_transaction_isolation": "serializable",
    "plan_cache_mode": "force_generic_plan",
    "enable_partition_pruning": "off",
}


@pytest.fixture
def headstrong(target: str) -> str:
    """URL of a database with its own ways."""
    with psycopg.connect(target, autocommit=True) as connection:
        name = sql.Identifier(connection.info.dbname)
        for setting, value in WAYS.items():
            connection.execute(sql.SQL("ALTER DATABASE {} SET {} = {}").format(name, sql.Identifier(setting), value))
    return target


def test_an_import_is_loaded_proved_undone_and_put_back(headstrong: str, tmp_path: Path) -> None:
    migrate(headstrong)
    events = [make_event(n, user_id="Zoë", payload={"share": 0.1 + n, "path": "a\\b'c"}) for n in range(80)]
    begun = load(headstrong, write_export(tmp_path / "export.jsonl", events))
    rebuild_rollups(headstrong)
    assert begun.verify().status == "passed"
    assert begun.spot_check(50).differences == []
    view = TargetView(headstrong, "hindcast_run_events", {"hindcast.run_id": str(begun.run.run_id)})
    bounds = {"window_start": "2024-01-01", "window_end": "2024-03-01", "loaded_rows": 80}
    assert run_table_gate("loaded", view, bounds).status == "passed"
    archive = roll_back(headstrong, run=begun.run.run_id)["archive"]
    assert restore(headstrong, archive)["restored"] == 80
    assert begun.verify().status == "passed"


def test_a_session_has_its_own_settings(headstrong: str) -> None:
    with connect(headstrong, load_settings()) as connection:
        for setting, value in SESSION.items():
            assert connection.execute("SELECT current_setting(%s)", (setting,)).fetchone() == (value,)
