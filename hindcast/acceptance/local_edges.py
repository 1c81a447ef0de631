"""The edge cases of local mode: stores and databases that go away, events that contradict, teams that reach out."""

import os
from collections.abc import Callable
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from hindcast.acceptance.endpoint import served_capture
from hindcast.acceptance.local import LocalStage
from hindcast.acceptance.outages import gated_database, gated_server
from hindcast.acceptance.outcome import CheckFailed, Phase, Skipped, require
from hindcast.acceptance.payloads import TEXT, make_payload
from hindcast.acceptance.references import check_values, read_references
from hindcast.acceptance.request import CaptureRequest, build_request
from hindcast.acceptance.teams import Team
from hindcast.errors import AccessRefused
from hindcast.objects.s3 import Patience, S3Store, make_client
from hindcast.objects.teams import ROOT, TeamReader
from hindcast.sockets import LOOPBACK

_QUICK: Final = Patience(attempts=4, longest_pause_seconds=0.2, connect_timeout_seconds=2, read_timeout_seconds=10)


def a_store_that_is_away_is_told_and_nothing_is_lost(stage: LocalStage) -> str:
    team, request = stage.make_team(), _with_value()
    with gated_server(None) as gate:
        store = S3Store(
            stage.store.bucket, _QUICK, make_client(_QUICK, f"http://{LOOPBACK}:{gate.port}", is_signed=False)
        )
        with served_capture(stage.settings, stage.url, store) as address:
            _require_unavailable(stage, team, request, address)
        require(gate.connections >= _QUICK.attempts, f"the store was asked {gate.connections} times only")
    _require_kept(stage, team, request)
    return f"503 after {gate.connections} tries, nothing stored; the same bytes later: 200"


def a_store_that_comes_back_is_tried_again(stage: LocalStage) -> str:
    endpoint = urlsplit(os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", ""))
    if not isinstance(stage.store, S3Store) or endpoint.scheme != "http" or not endpoint.hostname:
        raise Skipped("only for a store of S3 with a plain http:// AWS_ENDPOINT_URL")
    team, request = stage.make_team(), _with_value()
    with gated_server((endpoint.hostname, endpoint.port or 80)) as gate:
        gate.refusals = 2
        store = S3Store(stage.store.bucket, _QUICK, make_client(_QUICK, f"http://{LOOPBACK}:{gate.port}"))
        with served_capture(stage.settings, stage.url, store) as address:
            status = stage.send(team, request, address).status_code
    require(status == 200, f"answered {status}, expected 200")
    check_values(stage.find(team, request), request, stage.reader(team))
    return f"hung up on twice, kept at try {gate.connections}"


def a_database_that_is_away_is_told_and_nothing_is_lost(stage: LocalStage) -> str:
    team, request = stage.make_team(), _with_value()
    with gated_database(stage.url) as (url, gate), served_capture(stage.settings, url, stage.store) as address:
        status = stage.send(team, build_request(), address).status_code
        require(status == 200, f"before the outage: answered {status}, expected 200")
        gate.shut()
        _require_unavailable(stage, team, request, address)
        gate.open()
        status = stage.send(team, request, address).status_code
        require(status == 200, f"after the outage: answered {status}, expected 200")
    check_values(stage.find(team, request), request, stage.reader(team))
    return "503 while it was away, nothing stored; the same bytes later: 200"


def other_content_under_one_uuid_is_a_conflict(stage: LocalStage) -> str:
    team, request = stage.make_team(), _with_value()
    stage.keep(team, request)
    other = build_request(uuid=request.uuid, payloads={"$ai_input": make_payload(20_000, TEXT, 22)})
    status = stage.send(team, other).status_code
    require(status == 409, f"answered {status}, expected 409")
    check_values(stage.find(team, request), request, stage.reader(team))
    return "409, the first one stays byte for byte"


def a_team_reaches_nothing_of_another(stage: LocalStage) -> str:
    ours, theirs = stage.make_team(), stage.make_team()
    request = _with_value()
    event = stage.keep(theirs, request)
    url = str(read_references(event)["$ai_input"])
    require(stage.events.find(request.uuid, ours.team) is None, "another team's event is found")
    tricks = make_tricks(stage.store.bucket, ours.team, theirs.team, request.uuid, url)
    require_refused(stage.reader(ours), tricks, theirs.team)
    require(not list(stage.reader(ours).list()), "a team without events sees objects")
    return f"{len(tricks)} references and {len(make_prefixes(theirs.team))} listings refused before the store was asked"


def make_tricks(bucket: str, ours: str, theirs: str, uuid: str, url: str) -> list[str]:
    """References that would lead a reader of `ours` to an object of `theirs`, were they taken as they look."""
    key, own = f"{ROOT}/{theirs}/{uuid}", f"{ROOT}/{ours}"
    return [
        url,
        key,
        f"s3://{bucket}/{key}",
        f"{own}/../{theirs}/{uuid}",
        f"s3://{bucket}/{own}/../{theirs}/{uuid}",
        f"{own}/..%2f{theirs}%2f{uuid}",
        f"{own}/%2e%2e/{theirs}/{uuid}",
        f"{own}/..\\{theirs}\\{uuid}",
        f"{own}/./../{theirs}/{uuid}",
        f"{own}//../{theirs}/{uuid}",
        f"/{key}",
        f"{key}\0",
        f"s3://{bucket}-other/{own}/{uuid}",
        f"S3://{bucket}/{key}",
        f"file:///{key}",
        f"s3://{bucket}/{own}/{uuid}?range=0-1&key={key}",
        f"{own}{theirs}/{uuid}",
    ]


def make_prefixes(theirs: str) -> list[str]:
    """Listings that would show objects of `theirs`."""
    return [f"{ROOT}/{theirs}/", f"{ROOT}/", ROOT, f"{ROOT}/{theirs[:4]}", "/", f"{ROOT}/../{ROOT}/"]


def require_refused(reader: TeamReader, references: list[str], theirs: str) -> None:
    """Raise CheckFailed unless every one of the references, and every listing, is an AccessRefused."""
    attempts: list[tuple[str, Callable[[], Any]]] = [(text, partial(reader.read, text)) for text in references]
    attempts += [(prefix, partial(reader.list, prefix)) for prefix in make_prefixes(theirs)]
    for reference, attempt in attempts:
        try:
            attempt()
        except AccessRefused:
            continue
        except FileNotFoundError:
            pass  # the store was asked: as bad as an answer
        raise CheckFailed(f"{reference[:120]!a}: not refused")


def _with_value() -> CaptureRequest:
    return build_request(payloads={"$ai_input": make_payload(20_000, TEXT, 21)})


def _require_unavailable(stage: LocalStage, team: Team, request: CaptureRequest, address: str) -> None:
    answer = stage.send(team, request, address)
    require(answer.status_code == 503, f"during the outage: answered {answer.status_code}, expected 503")
    require("try again" in answer.text, "the answer does not say to try again")
    stage.require_nothing_of(team, request)


def _require_kept(stage: LocalStage, team: Team, request: CaptureRequest) -> None:
    check_values(stage.keep(team, request), request, stage.reader(team))


EDGES: Final[Phase[LocalStage]] = Phase(
    "edge",
    "cases",
    (
        a_store_that_is_away_is_told_and_nothing_is_lost,
        a_store_that_comes_back_is_tried_again,
        a_database_that_is_away_is_told_and_nothing_is_lost,
        other_content_under_one_uuid_is_a_conflict,
        a_team_reaches_nothing_of_another,
    ),
)
