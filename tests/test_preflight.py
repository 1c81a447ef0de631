"""Preflight: what it finds in a real database, behind a real pooler, and how it tells it."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner
from loading import query
from poolers import PGBOUNCER, start_pooler

from flows.cli import cli
from hindcast.database import connect
from hindcast.errors import TargetError
from hindcast.export import Part
from hindcast.headroom import check_room
from hindcast.preflight import Check, check_target, plan_months, require_passed
from hindcast.settings import load_settings

pytest_plugins = ["loading_fixtures"]


def found(url: str, name: str, **options: Any) -> Check:
    checks = {check.check: check for check in check_target(url, load_settings(), **options)}
    return checks[name]


def test_a_good_target_passes_every_check(target: str) -> None:
    checks = check_target(target, load_settings())
    assert {check.check: check.status for check in checks} == dict.fromkeys(
        ("server", "writable", "pooler", "schema", "privileges", "partitions", "connections"), "passed"
    )
    require_passed(checks)


def test_a_database_that_does_not_answer_is_one_failed_check() -> None:
    (check,) = check_target("postgresql://ada:s3cr3t@127.0.0.1:1/events", load_settings())
    assert check.check == "connection" and check.status == "failed"
    assert "check that it runs" in check.sentence and "s3cr3t" not in check.sentence


def test_a_database_without_our_schema_says_what_to_run(empty_database: str) -> None:
    check = found(empty_database, "schema")
    assert check.status == "failed" and "hindcast db migrate" in check.sentence


def test_a_role_that_may_only_read_is_told_so(target: str) -> None:
    query(target, f"ALTER DATABASE {target_name(target)} SET default_transaction_read_only = on")
    check = found(target, "writable")
    assert check.status == "failed" and "read-only" in check.sentence


def test_what_a_role_lacks_is_listed(target: str) -> None:
    url = with_role(target, "preflight_reader")
    try:
        query(target, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO preflight_reader")
        check = found(url, "privileges")
        assert check.status == "failed"
        for lack in ("INSERT on analytics_events", "DELETE on daily_events", "EXECUTE on function hindcast_add_month"):
            assert lack in check.sentence
        assert "docs/sql/roles.sql" in check.sentence
        assert "DELETE on analytics_events" not in check.sentence
        assert "DELETE on analytics_events" in found(url, "privileges", on_conflict="replace").sentence
    finally:
        drop_role(target, "preflight_reader")


def test_a_default_partition_is_refused(target: str) -> None:
    query(target, "CREATE TABLE leftovers PARTITION OF analytics_events DEFAULT")
    check = found(target, "partitions")
    assert check.status == "failed" and "leftovers is a DEFAULT partition" in check.sentence
    with pytest.raises(TargetError, match="preflight: leftovers is a DEFAULT partition"):
        require_passed([check])


def test_partitions_that_are_no_months_are_a_warning(target: str) -> None:
    query(target, "CREATE TABLE y2001 PARTITION OF analytics_events FOR VALUES FROM ('2001-01-01') TO ('2002-01-01')")
    assert found(target, "partitions").status == "warned"


def test_too_few_free_connections_fail_and_say_how_many_are_needed(target: str) -> None:
    check = found(target, "connections", processes=1000)
    assert check.status == "failed" and "the load needs 1006" in check.sentence
    query(target, f"ALTER DATABASE {target_name(target)} CONNECTION LIMIT 12")
    check = found(target, "connections", processes=2)
    assert check.status == "warned" and "that of this database" in check.sentence


def test_the_months_to_be_made_are_named(target: str) -> None:
    with connect(target, load_settings()) as connection:
        first, last = datetime(2020, 11, 5, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC)
        assert plan_months(connection, first, last).sentence == "3 months to make: 2020-11, 2020-12, 2021-01"
        connection.execute("SELECT hindcast_add_month('2020-12-01')")
        assert "2 months to make: 2020-11, 2021-01" in plan_months(connection, first, last).sentence
        now = datetime.now(UTC)
        assert "is there" in plan_months(connection, now, now).sentence
        assert "no event" in plan_months(connection, None, None).sentence


def test_the_disks_are_compared_with_the_export(target: str) -> None:
    small = [Part("a.jsonl", "/a.jsonl", None, 1000, "sha256:0")]
    assert [check.status for check in check_room(load_settings(), target, small)] == ["passed", "passed"]
    huge = [Part("a.jsonl.gz", "/a.jsonl.gz", None, 10**14, "sha256:0")]
    staging, database = check_room(load_settings(), target, huge)
    assert staging.status == database.status == "failed"
    assert "the export needs about 240,000.0 GB; choose another HINDCAST_HOME" in staging.sentence
    assert len(check_room(load_settings(), None, huge)) == 1


def test_the_command_tells_in_sentences_and_in_json(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", target)
    told = CliRunner().invoke(cli, ["preflight"])
    assert told.exit_code == 0 and "passed  pooler" in told.output
    query(target, "CREATE TABLE leftovers PARTITION OF analytics_events DEFAULT")
    told = CliRunner().invoke(cli, ["preflight", "--json"])
    checks = {check["check"]: check["status"] for check in json.loads(told.stdout)}
    assert told.exit_code == 1 and checks["partitions"] == "failed" and checks["staging"] == "passed"


needs_pooler = pytest.mark.skipif(not PGBOUNCER, reason="pgbouncer is not installed")


@needs_pooler
def test_a_pooler_in_transaction_mode_is_refused_with_what_to_do(target: str) -> None:
    with start_pooler(target, "transaction") as url:
        check = found(url, "pooler")
    assert check.status == "failed"
    assert "a pooler in transaction mode" in check.sentence and "port 5432 instead of 6543" in check.sentence


@needs_pooler
def test_a_pooler_in_session_mode_is_fine(target: str) -> None:
    with start_pooler(target, "session") as url:
        assert found(url, "pooler").status == "passed"
        with connect(url, load_settings()) as connection:
            row = connection.execute("SELECT current_setting('timezone'), current_setting('lock_timeout')").fetchone()
    assert row == ("UTC", "5s")


def target_name(target: str) -> str:
    return urlsplit(target).path.lstrip("/")


def with_role(target: str, role: str) -> str:
    query(target, f"CREATE ROLE {role} LOGIN")
    return target.replace("postgres@", f"{role}@")


def drop_role(target: str, role: str) -> None:
    query(target, f"DROP OWNED BY {role}")
    query(target, f"DROP ROLE {role}")
