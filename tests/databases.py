"""A database with our schema for each test: the last test's, emptied, unless that test changed more than rows."""

import os
import time
from typing import Any

import psycopg
from psycopg import sql

from hindcast.database import migrate
from hindcast.embedded import EmbeddedServer

# Whatever belongs to a schema and is not a row of ours; statistics, too, for they change plans.
_SHAPE = """
WITH ours AS (SELECT oid FROM pg_class WHERE oid >= 16384 AND relpersistence <> 't'
              AND relnamespace <> 'pg_toast'::regnamespace)
SELECT md5(string_agg(fact, '' ORDER BY fact)) FROM (
    SELECT ROW(oid, relname, relkind, relnatts, relchecks, relhastriggers, relrowsecurity, relispartition, reloptions,
               relacl, relowner, relpersistence, relnamespace)::text AS fact
    FROM pg_class WHERE oid IN (TABLE ours)
    UNION ALL
    SELECT ROW(attrelid, attname, atttypid, attnotnull, atthasdef, attstattarget, attoptions, attcollation,
               attisdropped, attacl)::text
    FROM pg_attribute WHERE attrelid IN (TABLE ours) AND attnum > 0
    UNION ALL SELECT ROW(adrelid, adnum, pg_get_expr(adbin, adrelid))::text FROM pg_attrdef
    UNION ALL SELECT ROW(c.oid, conname, conrelid, convalidated)::text FROM pg_constraint AS c WHERE c.oid >= 16384
    UNION ALL SELECT ROW(oid, tgname, tgenabled)::text FROM pg_trigger
    UNION ALL SELECT ROW(oid, proname, prosrc, proacl)::text FROM pg_proc WHERE oid >= 16384
    UNION ALL SELECT ROW(indexrelid, indisvalid, indisready)::text FROM pg_index WHERE indexrelid IN (TABLE ours)
    UNION ALL SELECT ROW(oid, md5(ev_action::text), ev_enabled)::text FROM pg_rewrite WHERE oid >= 16384
    UNION ALL SELECT ROW(oid, nspname, nspacl)::text FROM pg_namespace
    UNION ALL SELECT ROW(oid, extname)::text FROM pg_extension
    UNION ALL SELECT v::text FROM hindcast_version AS v
    UNION ALL SELECT ROW(oid, polname)::text FROM pg_policy
    UNION ALL SELECT ROW(starelid, staattnum)::text FROM pg_statistic WHERE starelid IN (TABLE ours)
    UNION ALL SELECT ROW(oid, defaclacl)::text FROM pg_default_acl
    UNION ALL SELECT ROW(setrole, setconfig)::text FROM pg_db_role_setting AS s
        WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
    UNION ALL SELECT ROW(datconnlimit, datallowconn, datacl)::text FROM pg_database WHERE datname = current_database()
) AS facts
"""
_PARTITIONS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'analytics_events'::regclass"
_FILLED = """
SELECT c.oid::regclass::text FROM pg_class AS c
WHERE c.relkind = 'r' AND c.oid >= 16384 AND c.relnamespace = 'public'::regnamespace
    AND c.relname <> 'hindcast_version' AND pg_relation_size(c.oid) > 0
"""
_SEQUENCES = (
    "SELECT setval(format('%I.%I', schemaname, sequencename), start_value, false) FROM pg_sequences"
    " WHERE last_value IS NOT NULL"
)
_OTHERS = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
)


class Databases:
    """Databases of one server, copied from one that was migrated once, to be used one after the other."""

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server
        self._template, self._name = f"migrated_{os.getpid()}", f"target_{os.getpid()}"
        self._is_ready = False
        self._run(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self._template)))
        migrate(server.url(self._template))
        with psycopg.connect(server.url(self._template)) as connection:
            self._partitions = _names(connection, _PARTITIONS)
            filled = _names(connection, _FILLED)
        assert not filled, f"the migrations fill {filled}: they would be emptied"
        self._shape = ""

    def take(self) -> str:
        """URL of one with our schema and nothing else, in use until `give_back`."""
        if not self._is_ready:
            name, template = sql.Identifier(self._name), sql.Identifier(self._template)
            self._run(sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(name, template))
            with psycopg.connect(self._server.url(self._name)) as connection:
                self._shape = _shape(connection)
        self._is_ready = False
        return self._server.url(self._name)

    def give_back(self) -> None:
        """Empty it for the next, or drop it; whoever is still connected is sent away."""
        try:
            with psycopg.connect(self._server.url(self._name), autocommit=True) as connection:
                self._is_ready = self._empty(connection)
        except psycopg.Error:
            self._is_ready = False
        if not self._is_ready:
            self._run(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(self._name)))

    def _empty(self, connection: psycopg.Connection) -> bool:
        deadline = time.monotonic() + 5
        while _value(connection, _OTHERS):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        partitions = _names(connection, _PARTITIONS) - self._partitions
        if partitions:
            connection.execute(f"DROP TABLE {', '.join(sorted(partitions))}")
        if _shape(connection) != self._shape:
            return False
        filled = _names(connection, _FILLED)
        if filled:
            connection.execute(f"TRUNCATE {', '.join(sorted(filled))} CASCADE")
        connection.execute(_SEQUENCES)
        return True

    def _run(self, statement: sql.Composed) -> None:
        with psycopg.connect(self._server.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)


def _shape(connection: psycopg.Connection) -> str:
    return str(_value(connection, _SHAPE))


def _names(connection: psycopg.Connection, query: Any) -> set[str]:
    return {name for (name,) in connection.execute(query)}


def _value(connection: psycopg.Connection, query: Any) -> Any:
    row = connection.execute(query).fetchone()
    assert row
    return row[0]
