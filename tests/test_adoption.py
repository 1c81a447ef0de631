"""Adopting the platform's own analytics_events: nothing is lost, and the platform notices nothing."""

import psycopg
import pytest
from loading import query
from runbook import IDENTITIES, LIVE_INSERT, describe_schema, make_runbook_table, months_of, query_many

from hindcast.database import migrate
from hindcast.errors import TargetError


@pytest.mark.parametrize("time", ["timestamptz", "timestamp"])
@pytest.mark.parametrize("identity", IDENTITIES)
def test_adopting_the_platforms_table_loses_nothing(empty_database: str, identity: str, time: str) -> None:
    make_runbook_table(empty_database, identity, time)
    rows = "SELECT id, user_id, event_type, payload, created_at{}, region FROM {} ORDER BY id".format
    as_utc = " AT TIME ZONE 'UTC'" if time == "timestamp" else ""
    before = query(empty_database, rows(as_utc, "analytics_events"))
    migrate(empty_database)
    assert query(empty_database, rows("", "analytics_events")) == before
    assert query(empty_database, rows(as_utc, "analytics_events_before_hindcast")) == before
    assert query(empty_database, "SELECT DISTINCT source, tenant, import_chunk_id FROM analytics_events") == [
        ("live", "", None)
    ]


@pytest.mark.parametrize("identity", IDENTITIES)
def test_the_platforms_own_insert_goes_on_after_the_old_table_is_dropped(empty_database: str, identity: str) -> None:
    make_runbook_table(empty_database, identity)
    migrate(empty_database)
    query(empty_database, "DROP TABLE analytics_events_before_hindcast")
    query(empty_database, LIVE_INSERT)
    ids = query(empty_database, "SELECT id, region FROM analytics_events ORDER BY imported_at, created_at DESC")
    assert ids[0] == (5, "eu") if identity != "uuid" else ids[0][0]
    assert len(set(ids)) == 5


def test_migrating_an_adopted_database_again_changes_nothing(empty_database: str) -> None:
    make_runbook_table(empty_database)
    migrate(empty_database)
    before = describe_schema(empty_database)
    migrate(empty_database)
    assert describe_schema(empty_database) == before


def test_months_come_only_where_there_are_rows_or_will_be(empty_database: str) -> None:
    make_runbook_table(empty_database, time="timestamp")
    query(empty_database, "ALTER DATABASE {} SET timezone = 'America/New_York'".format(*_name(empty_database)))
    migrate(empty_database)
    assert months_of(empty_database)[:11] == [
        *(f"2023_{month:02}" for month in range(5, 13)),
        *(f"2024_{month:02}" for month in (1, 2, 3)),
    ]


def _name(url: str) -> tuple[str]:
    return (str(query(url, "SELECT current_database()")[0][0]),)


def test_roles_keep_what_they_were_granted(empty_database: str) -> None:
    make_runbook_table(empty_database, "identity")
    query_many(
        empty_database,
        "CREATE ROLE platform; CREATE ROLE dashboard;"
        "GRANT SELECT, INSERT ON analytics_events TO platform;"
        "GRANT SELECT ON analytics_events TO dashboard;",
    )
    try:
        migrate(empty_database)
        query_many(empty_database, "SET ROLE platform;" + LIVE_INSERT)
        query_many(empty_database, "SET ROLE dashboard; SELECT count(*) FROM analytics_events")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            query_many(empty_database, "SET ROLE dashboard;" + LIVE_INSERT)
    finally:
        query_many(empty_database, "DROP OWNED BY platform, dashboard; DROP ROLE platform, dashboard")


def test_another_owner_keeps_its_rights(empty_database: str) -> None:
    make_runbook_table(empty_database)
    query_many(empty_database, "CREATE ROLE platform_owner; ALTER TABLE analytics_events OWNER TO platform_owner")
    try:
        migrate(empty_database)
        query_many(empty_database, "SET ROLE platform_owner;" + LIVE_INSERT)
    finally:
        query_many(empty_database, "DROP OWNED BY platform_owner CASCADE; DROP ROLE platform_owner")


def test_views_look_at_the_adopted_table(empty_database: str) -> None:
    make_runbook_table(empty_database)
    query(
        empty_database,
        "CREATE VIEW learners AS SELECT count(DISTINCT e.user_id) AS n FROM analytics_events e",
    )
    migrate(empty_database)
    query(empty_database, LIVE_INSERT)
    assert query(empty_database, "SELECT n FROM learners") == [(4,)]


def test_row_level_security_is_kept_on_the_table_and_its_months(empty_database: str) -> None:
    make_runbook_table(empty_database)
    query_many(
        empty_database,
        "CREATE ROLE visitor; GRANT SELECT ON analytics_events TO visitor;"
        "ALTER TABLE analytics_events ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY own ON analytics_events FOR SELECT TO visitor USING (user_id = 'u3')",
    )
    try:
        migrate(empty_database)
        query_many(empty_database, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO visitor")
        for table, count in (("analytics_events", 2), ("analytics_events_2024_03", 0)):
            with psycopg.connect(empty_database) as connection:
                connection.execute("SET ROLE visitor")
                assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (count,)  # noqa: S608
    finally:
        query_many(empty_database, "DROP OWNED BY visitor; DROP ROLE visitor")


@pytest.mark.parametrize(
    ("obstacle", "name"),
    [
        (
            "CREATE MATERIALIZED VIEW daily AS SELECT count(*) FROM analytics_events",
            "materialized view daily",
        ),
        (
            "CREATE TRIGGER stamp BEFORE INSERT ON analytics_events FOR EACH ROW"
            " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            "trigger stamp",
        ),
        ("CREATE TABLE notes (event bigint REFERENCES analytics_events)", "foreign key notes_event_fkey"),
        (
            "ALTER TABLE analytics_events ADD twice bigint GENERATED ALWAYS AS (id * 2) STORED",
            "generated column",
        ),
    ],
)
def test_what_cannot_be_carried_over_is_refused_before_anything_changes(
    empty_database: str, obstacle: str, name: str
) -> None:
    make_runbook_table(empty_database)
    query(empty_database, obstacle)
    before = describe_schema(empty_database)
    with pytest.raises(TargetError, match=f"cannot be adopted as it is: {name}"):
        migrate(empty_database)
    assert describe_schema(empty_database) == before


def test_a_row_without_a_type_stops_the_adoption_and_is_not_quoted(empty_database: str) -> None:
    make_runbook_table(empty_database)
    query_many(
        empty_database,
        "ALTER TABLE analytics_events ALTER event_type DROP NOT NULL;"
        "INSERT INTO analytics_events (user_id) VALUES ('ada@example.org')",
    )
    with pytest.raises(TargetError, match='null value in column "event_type"') as raised:
        migrate(empty_database)
    assert "ada" not in str(raised.value)
    assert query(empty_database, "SELECT count(*) FROM analytics_events") == [(5,)]
