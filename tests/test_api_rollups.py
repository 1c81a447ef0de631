"""The rollups of API monitoring over the real rows, against a plain Python count of the file."""

import json
import math
from collections import defaultdict
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from loading import load, query
from psycopg.types.json import Jsonb

from hindcast.database import connect
from hindcast.rollups import RollupProof, rebuild_rollup, rollups_of
from hindcast.settings import load_settings

pytest_plugins = ["loading_fixtures"]

REAL = Path(__file__).parent / "data" / "api-monitoring-500.jsonl"
ROWS = [json.loads(line, parse_float=Decimal) for line in REAL.read_bytes().splitlines()]
DAYS = [date(2025, 10, 3), date(2025, 10, 4)]


def rebuild(url: str, rollup: str) -> RollupProof:
    with connect(url, load_settings()) as connection:
        proof = rebuild_rollup(connection, rollup, DAYS)
    assert proof.is_proved
    return proof


@pytest.fixture
def loaded(target: str) -> str:
    """URL of a target with the 500 real rows."""
    load(target, REAL)
    return target


def nearest_rank(values: list[Decimal], share: Decimal) -> Decimal:
    return sorted(values)[math.ceil(share * len(values)) - 1]


def test_service_health_of_the_real_rows_is_what_a_plain_count_gives(loaded: str) -> None:
    groups: dict[tuple[str, ...], list[Any]] = defaultdict(list)
    for row in ROWS:
        source = row["source"]
        key = (row["timestamp"][:13], source["environment"], source["service"], source["endpoint"])
        groups[key].append(row["metrics"])
    expected = []
    for key, metrics in sorted(groups.items()):
        errors = sum(metric["status_code"] >= 400 for metric in metrics)
        times = [metric["response_time_ms"] for metric in metrics]
        ranks = [nearest_rank(times, Decimal(share)) for share in ("0.5", "0.95", "0.99")]
        expected.append((*key, len(metrics), errors, round(Decimal(errors) / len(metrics), 9), *ranks))
    rebuild(loaded, "hourly_service_health")
    found = query(
        loaded,
        "SELECT to_char(hour AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24'), environment, service, endpoint, requests,"
        " errors, round(error_rate, 9), p50_ms, p95_ms, p99_ms FROM hourly_service_health",
    )
    assert sorted(found) == expected


def test_geography_of_the_real_rows_is_what_a_plain_count_gives(loaded: str) -> None:
    groups: dict[tuple[str, ...], list[Any]] = defaultdict(list)
    for row in ROWS:
        tags = row["context"]["tags"]
        place = tuple(tags[name] for name in ("region", "country", "city", "device_type"))
        groups[row["timestamp"][:10], *place].append(row)
    expected = [
        (
            *key,
            len(rows),
            len({row["context"]["user_id"] for row in rows} - {None}),
            sum("error_details" in row for row in rows),
        )
        for key, rows in sorted(groups.items())
    ]
    rebuild(loaded, "daily_geography")
    found = query(
        loaded, "SELECT day::text, region, country, city, device_type, events, users, errors FROM daily_geography"
    )
    assert sorted(found) == expected


@pytest.mark.parametrize("rollup", ["hourly_service_health", "daily_geography"])
def test_rebuilding_twice_gives_the_same(loaded: str, rollup: str) -> None:
    table = f"SELECT * FROM {rollup} ORDER BY 1, 2, 3, 4, 5"  # noqa: S608  # one of ours
    first = rebuild(loaded, rollup)
    before = query(loaded, table)
    assert before
    assert rebuild(loaded, rollup) == first
    assert query(loaded, table) == before


@pytest.mark.parametrize("rollup", ["hourly_service_health", "daily_geography"])
@pytest.mark.parametrize(
    "payload",
    [
        None,
        7,
        "text",
        [],
        [{"metrics": 1}],
        {"metrics": [], "source": 3, "context": {"tags": "x"}},
        {"metrics": {"status_code": {"a": 1}, "response_time_ms": True}},
        {"metrics": {"status_code": 10**400, "response_time_ms": -(10**400)}},
        {"metrics": {"status_code": 1}, "source": {"service": "\U0001f600" * 4_000, "endpoint": "/é" * 4_000}},
        {"metrics": {"status_code": 1}, "source": {"environment": ["é" * 4_000], "service": {"n": "\U0001f600" * 900}}},
        {"context": {"tags": dict.fromkeys(("country", "city", "region", "device_type"), "\U0001f600" * 4_000)}},
    ],
)
def test_a_live_row_of_any_shape_breaks_no_rollup(loaded: str, rollup: str, payload: object) -> None:
    with psycopg.connect(loaded) as connection:
        connection.execute(
            "INSERT INTO analytics_events (created_at, event_type, source, payload)"
            " VALUES ('2025-10-04T12:00:00Z', 'live', 'api_monitoring', %s)",
            [Jsonb(payload)],
        )
    rebuild(loaded, rollup)


def test_imports_of_other_formats_leave_these_rollups_alone() -> None:
    assert "hourly_service_health" not in rollups_of("analytics_history")
    assert {"hourly_service_health", "daily_geography", "daily_events"} == set(rollups_of("api_monitoring"))
