"""What the generator of api_monitoring draws has the tabled rates: within three standard errors, or by chi-square."""

import json
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hindcast.synthetic import GenerateSpec, generate
from hindcast.synthetic.api_catalogue import SERVICES

COUNT = 60_000
# Of each number of degrees of freedom, what chi-square exceeds once in a thousand samples.
CHI_SQUARE = {1: 10.83, 2: 13.82, 3: 16.27, 4: 18.47, 7: 24.32, 10: 29.59, 11: 31.26, 61: 100.89}
ENDPOINTS = {
    "auth": 10, "payment": 8, "user": 9, "product": 9, "order": 8, "notification": 7, "analytics": 6, "search": 5,
}  # fmt: skip
ERROR_RATES = {
    "auth": 0.02, "payment": 0.05, "user": 0.01, "product": 0.015,
    "order": 0.03, "notification": 0.04, "analytics": 0.02, "search": 0.025,
}  # fmt: skip
MEANS_MS = {
    "auth": 150, "payment": 450, "user": 85, "product": 120, "order": 280, "notification": 200, "analytics": 350,
    "search": 95,
}  # fmt: skip
VERSIONS = {
    "auth": "2.3.1", "payment": "1.8.2", "user": "3.1.0", "product": "2.7.4",
    "order": "1.9.1", "notification": "1.5.3", "analytics": "2.1.0", "search": "1.6.8",
}  # fmt: skip
ERRORS = {400: 15, 401: 10, 403: 8, 404: 20, 409: 5, 422: 8, 429: 7, 500: 10, 502: 5, 503: 7, 504: 5}


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Ordinary records of ten whole days."""
    out = tmp_path_factory.mktemp("api") / "export.jsonl"
    start = datetime(2024, 1, 1, tzinfo=UTC)
    generate(GenerateSpec("api_monitoring", COUNT, 11, out, start, start + timedelta(days=10), defects=False))
    return [json.loads(line) for line in out.read_bytes().splitlines()]


def service_of(record: dict[str, Any]) -> str:
    return str(record["source"]["service"]).removesuffix("-service")


def assert_weights(found: Counter[Any], weights: Mapping[Any, float]) -> None:
    assert found.keys() == weights.keys()
    total, weight = found.total(), sum(weights.values())
    statistic = sum((found[key] - total * w / weight) ** 2 / (total * w / weight) for key, w in weights.items())
    assert statistic < CHI_SQUARE[len(weights) - 1], found


def assert_share(found: int, total: int, share: float) -> None:
    assert abs(found - total * share) < 3 * (total * share * (1 - share)) ** 0.5


def test_services_have_the_documented_62_endpoints(records: list[dict[str, Any]]) -> None:
    endpoints = {(service_of(record), record["source"]["endpoint"]) for record in records}
    assert Counter(service for service, _ in endpoints) == ENDPOINTS
    assert len({endpoint for _, endpoint in endpoints}) == 62


def test_every_endpoint_of_the_real_data_is_among_them() -> None:
    real = (Path(__file__).parent / "data" / "api-monitoring-500.jsonl").read_bytes().splitlines()
    known = {path for service in SERVICES for path in service.paths}
    assert {json.loads(line)["source"]["endpoint"] for line in real} <= known


def test_services_and_their_endpoints_are_equally_often(records: list[dict[str, Any]]) -> None:
    assert_weights(Counter(map(service_of, records)), dict.fromkeys(ENDPOINTS, 1))
    paths = {path: 1 / len(service.paths) for service in SERVICES for path in service.paths}
    assert_weights(Counter(record["source"]["endpoint"] for record in records), paths)
    assert {(service_of(r), r["source"]["version"]) for r in records} == set(VERSIONS.items())


@pytest.mark.parametrize("service", ERROR_RATES)
def test_a_service_fails_at_its_rate(records: list[dict[str, Any]], service: str) -> None:
    codes = [record["metrics"]["status_code"] for record in records if service_of(record) == service]
    assert_share(sum(code >= 400 for code in codes), len(codes), ERROR_RATES[service])


def test_the_mean_error_rate_is_as_documented(records: list[dict[str, Any]]) -> None:
    assert_share(sum(record["metrics"]["status_code"] >= 400 for record in records), COUNT, 0.02625)


def test_statuses_have_their_weights(records: list[dict[str, Any]]) -> None:
    codes = Counter(record["metrics"]["status_code"] for record in records)
    assert_weights(Counter({c: n for c, n in codes.items() if c < 400}), {200: 85, 201: 10, 202: 3, 204: 2})
    assert_weights(Counter({c: n for c, n in codes.items() if c >= 400}), ERRORS)


def test_methods_and_environments_have_their_weights(records: list[dict[str, Any]]) -> None:
    methods = {"GET": 60, "POST": 25, "PUT": 8, "DELETE": 4, "PATCH": 3}
    environments = {"production": 70, "staging": 20, "development": 10}
    assert_weights(Counter(record["source"]["method"] for record in records), methods)
    assert_weights(Counter(record["source"]["environment"] for record in records), environments)


def test_severity_and_details_follow_the_status(records: list[dict[str, Any]]) -> None:
    for record in records:
        code = record["metrics"]["status_code"]
        assert record["severity"] == ("info" if code < 300 else "warning" if code < 500 else "error")
        assert ("error_details" in record) == (code >= 400)
        if code >= 400:
            assert record["error_details"]["error_code"].startswith(f"ERR_{code}_")


def test_business_hours_have_twice_the_traffic_of_the_others(records: list[dict[str, Any]]) -> None:
    hours = Counter(int(record["timestamp"][11:13]) for record in records)
    business = sum(hours[hour] for hour in range(9, 18))
    assert_share(business, COUNT, 18 / 33)  # nine hours of weight 2, fifteen of weight 1
    assert (business / 9) / ((COUNT - business) / 15) == pytest.approx(2, rel=0.03)


@pytest.mark.parametrize("offset", [7, 9])
def test_traffic_follows_the_clock_and_not_the_start(tmp_path: Path, offset: int) -> None:
    start = datetime(2024, 1, 1, offset, 30, tzinfo=UTC)
    spec = GenerateSpec("api_monitoring", 20_000, 1, tmp_path / "x", start, start + timedelta(hours=12), defects=False)
    generate(spec)
    times = [json.loads(line)["timestamp"] for line in spec.out.read_bytes().splitlines()]
    business = sum(9 <= int(time[11:13]) <= 17 for time in times)
    length = 9 if offset < 9 else 8.5
    assert_share(business, len(times), 2 * length / (2 * length + 12 - length))


def test_one_in_ten_has_no_user(records: list[dict[str, Any]]) -> None:
    assert_share(sum(record["context"]["user_id"] is None for record in records), COUNT, 0.1)


@pytest.mark.parametrize("service", MEANS_MS)
def test_response_times_have_the_services_mean(records: list[dict[str, Any]], service: str) -> None:
    mean = MEANS_MS[service]
    times = [
        record["metrics"]["response_time_ms"] / mean
        for record in records
        if service_of(record) == service and "error_details" not in record
    ]
    # mean 1 and deviation 0.3, of which one in twenty is multiplied by 2 to 10: mean 6, mean square 41.3
    expected, square = 0.95 + 0.05 * 6, 1.09 * (0.95 + 0.05 * 124 / 3)
    assert abs(sum(times) / len(times) - expected) < 3 * ((square - expected**2) / len(times)) ** 0.5
    assert min(times) >= 0.09
    assert sum(time > 2.2 for time in times) / len(times) == pytest.approx(0.05, abs=0.01)


def test_errors_take_longer_or_fail_at_once(records: list[dict[str, Any]]) -> None:
    times = [
        record["metrics"]["response_time_ms"] / MEANS_MS[service_of(record)]
        for record in records
        if "error_details" in record
    ]
    expected, square = 1.25 * 1.75, 1.09 * (0.95 + 0.05 * 124 / 3) * (43 / 12)
    assert abs(sum(times) / len(times) - expected) < 3 * ((square - expected**2) / len(times)) ** 0.5


def test_callers_are_spread_over_cities_regions_and_devices(records: list[dict[str, Any]]) -> None:
    tags = [record["context"]["tags"] for record in records]
    cities = Counter(tag["city"] for tag in tags)
    assert_weights(cities, dict.fromkeys(cities, 1))
    assert len(cities) == 12
    assert {tag["region"] for tag in tags} == {"NA", "EU", "APAC", "LATAM"}
    devices = dict.fromkeys(["desktop", "mobile", "tablet", "api_client", "bot"], 1)
    assert_weights(Counter(tag["device_type"] for tag in tags), devices)


def test_every_record_has_an_id_of_its_own_and_the_real_shape(records: list[dict[str, Any]]) -> None:
    assert len({record["event_id"] for record in records}) == COUNT
    real = json.loads((Path(__file__).parent / "data" / "api-monitoring-500.jsonl").read_bytes().splitlines()[0])
    for record in records[:1000]:
        shape = {name: type(value) for name, value in record.items() if name != "error_details"}
        assert shape == {name: type(value) for name, value in real.items()}
        for name in ("source", "metrics", "context"):
            assert list(record[name]) == list(real[name])
