"""Production mode of acceptance: what it sees, and that it cannot write."""

from typing import Any

import boto3
import httpx
import pytest
from accepting import QueryServer
from loading import query

from hindcast.acceptance.guard import Pacer, ReadOnlyStore, WriteRefused, make_reading_client, refuse_writing_operations
from hindcast.acceptance.outcome import AcceptanceReport, render_table
from hindcast.acceptance.production import production_stage
from hindcast.acceptance.production_checks import PHASES
from hindcast.acceptance.run import run_phases
from hindcast.errors import AccessRefused, ConfigurationError
from hindcast.objects.content import Content
from hindcast.objects.s3 import Patience, S3Store, make_client
from hindcast.settings import load_settings

pytest_plugins = ["loading_fixtures", "objects_fixtures", "acceptance_fixtures"]
URL = "http://127.0.0.1:9/api/projects/7/query"
SELECT = {"query": {"kind": "HogQLQuery", "query": "SELECT 1", "values": {}}}


def run() -> AcceptanceReport:
    with production_stage(load_settings()) as stage:
        return run_phases("production", PHASES, stage)


def detail_of(report: AcceptanceReport, name: str) -> str:
    return next(check.detail for phase in report.phases for check in phase.checks if check.name == name)


def test_every_phase_is_green_and_only_queries_and_reads_were_sent(platform: QueryServer, configured: str) -> None:
    store, count = S3Store(load_settings().llma_s3_bucket), "SELECT count(*) FROM analytics_events"
    before = query(configured, count), list(store.list())
    report = run()
    assert {check.status for phase in report.phases for check in phase.checks} == {"passed"}, render_table(report)
    assert set(platform.asked) == {("POST", "/api/projects/7/query"), ("GET", "/i/v0/ai")}
    assert detail_of(report, "every range is exactly its part") == "14 parts of 4 events with 2 to 5 values"
    assert detail_of(report, "compressed values inflate") == "4 of 15 values are gzip, and all inflate"
    assert before == (query(configured, count), list(store.list()))
    assert QueryServer.KEY not in render_table(report) and "phc_" not in render_table(report)


def test_a_reference_to_another_team_fails_phase_2(platform: QueryServer) -> None:
    bucket = load_settings().llma_s3_bucket
    platform.changes["value_0"] = f"s3://{bucket}/llma/{'0' * 16}/00000000-0000-0000-0000-000000000000?range=0-1"
    report = run()
    assert [phase.status for phase in report.phases[:3]] == ["passed", "failed", "not started"]
    assert "values are" in detail_of(report, "references are the teams own")


def test_a_range_that_is_no_part_is_found(platform: QueryServer) -> None:
    with production_stage(load_settings()) as stage:
        event = next(event for event in stage.events if len(event.references) == 1)
        url = event.references["value_0"]
    head, _, first = url.partition("?range=")
    begin, last = (int(number) for number in first.split("-"))
    platform.changes["value_0"] = f"{head}?range={begin + 1}-{last}"
    platform.team = event.team
    report = run()
    assert "failed" in {phase.status for phase in report.phases}


def test_objects_in_another_bucket_are_told(platform: QueryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    events_bucket = load_settings().llma_s3_bucket
    monkeypatch.setenv("LLMA_S3_BUCKET", "another-bucket")
    detail = detail_of(run(), "objects are there with their metadata")
    assert detail == f"bucket {events_bucket}: this reader sees another-bucket only"


def test_an_unknown_project_fails_phase_1_with_what_to_check(
    platform: QueryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTHOG_PROJECT_ID", "8")
    report = run()
    assert report.phases[0].status == "failed" and "answered 404; check POSTHOG_HOST" in render_table(report)


def test_values_over_the_limit_are_not_downloaded(platform: QueryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HINDCAST_ACCEPTANCE_LARGEST_DOWNLOAD", "4000")
    report = run()
    assert detail_of(report, "every range is exactly its part").startswith("8 parts of 4 events")
    with production_stage(load_settings()) as stage:
        found = next(iter(stage.reader.list()))
        if found.size_bytes > 4000:
            with pytest.raises(AccessRefused, match="downloads at most 4,000"):
                stage.reader.read(found.key)


WRITES: dict[str, dict[str, Any]] = {
    "capture": {"method": "POST", "url": "http://127.0.0.1:9/i/v0/ai", "content": b"x"},
    "batch": {"method": "POST", "url": "http://127.0.0.1:9/batch", "json": SELECT},
    "another project": {"method": "POST", "url": URL.replace("7", "8"), "json": SELECT},
    "no select": {"method": "POST", "url": URL, "json": {"query": {"kind": "HogQLQuery", "query": "DROP TABLE x"}}},
    "two statements": {"method": "POST", "url": URL, "json": {"query": {"kind": "HogQLQuery", "query": "SELECT 1; x"}}},
    "no query": {"method": "POST", "url": URL, "content": b"{}"},
    "put": {"method": "PUT", "url": URL, "json": SELECT},
    "patch": {"method": "PATCH", "url": URL, "json": SELECT},
    "delete": {"method": "DELETE", "url": URL},
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_the_http_client_refuses_writes(write: dict[str, Any]) -> None:
    with make_reading_client(URL, Pacer(0)) as client, pytest.raises(WriteRefused):
        client.request(**write)  # nobody listens there: had it been sent, it would be a ConnectError


@pytest.mark.parametrize("read", [{"method": "GET", "url": URL}, {"method": "POST", "url": URL, "json": SELECT}])
def test_the_http_client_sends_reads(read: dict[str, Any]) -> None:
    with make_reading_client(URL, Pacer(0)) as client, pytest.raises(httpx.ConnectError):
        client.request(**read)


def test_the_s3_client_refuses_writes_that_its_keys_allow(bucket: str) -> None:
    client = refuse_writing_operations(make_client(Patience()))
    store = S3Store(bucket, client=client)
    for attempt in (
        lambda: client.put_object(Bucket=bucket, Key="k", Body=b"x"),
        lambda: client.delete_object(Bucket=bucket, Key="k"),
        lambda: client.delete_bucket(Bucket=bucket),
        lambda: client.create_multipart_upload(Bucket=bucket, Key="k"),
        lambda: client.put_object_acl(Bucket=bucket, Key="k", ACL="public-read"),
        lambda: store.put("k", Content([b"x"]), "text/plain", {}),
        lambda: store.delete("k"),
    ):
        with pytest.raises(WriteRefused):
            attempt()
    assert not list(store.list())
    assert "Contents" not in boto3.client("s3", region_name="us-east-1").list_objects_v2(Bucket=bucket)


def test_the_read_only_store_sees_one_team(bucket: str) -> None:
    store = ReadOnlyStore(S3Store(bucket), "team-1", Pacer(0), 10)
    for attempt in (
        lambda: store.head("llma/team-2/a"),
        lambda: list(store.list("llma/")),
        lambda: list(store.stream("llma/team-10/a")),
        lambda: store.list(),
    ):
        with pytest.raises(AccessRefused):
            attempt()


def test_requests_are_kept_apart() -> None:
    pauses: list[float] = []
    pacer = Pacer(5, pauses.append)
    for _ in range(3):
        pacer.wait()
    assert len(pauses) == 2 and all(4.5 < pause <= 5 for pause in pauses) and pacer.requests == 3


@pytest.mark.parametrize(
    ("name", "value"), [("POSTHOG_HOST", "us.posthog.com"), ("POSTHOG_PROJECT_ID", "../7"), ("LLMA_S3_BUCKET", "")]
)
def test_a_setting_that_cannot_be_is_told(
    platform: QueryServer, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name):
        run()
