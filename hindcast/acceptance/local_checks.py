"""The checks of local mode, phase by phase. Each makes a team of its own and sends requests as it."""

from concurrent.futures import ThreadPoolExecutor
from typing import Final

from hindcast.acceptance.local import LocalStage
from hindcast.acceptance.local_edges import EDGES
from hindcast.acceptance.outcome import Phase, require
from hindcast.acceptance.payloads import CONTENT_TYPES, JSON, SIZES, TEXT, Payload, make_mixed, make_payload
from hindcast.acceptance.references import check_head, check_part, check_values, read_references
from hindcast.acceptance.request import CaptureRequest, RequestPart, build_request
from hindcast.acceptance.teams import Team
from hindcast.llm_events import BLOB_NAMES

_TEAMS_AT_ONCE: Final = 4
_EVENTS_A_TEAM: Final = 5


def a_basic_generation_is_kept(stage: LocalStage) -> str:
    team, request = stage.make_team(), build_request()
    event = stage.keep(team, request)
    require((event.event, event.distinct_id) == ("$ai_generation", "acceptance-user"), "other fields than were sent")
    require(event.properties.get("$ai_model") == "acceptance-model", "other properties than were sent")
    return "answered 200, one row"


def all_six_types_are_kept(stage: LocalStage) -> str:
    team = stage.make_team()
    for kind in BLOB_NAMES:
        require(stage.keep(team, build_request(kind)).event == kind, f"{kind}: stored as another type")
    return ", ".join(BLOB_NAMES)


def the_same_request_again_changes_nothing(stage: LocalStage) -> str:
    team, request = stage.make_team(), build_request(payloads={"$ai_input": make_payload(5_000, TEXT, 1)})
    before = stage.keep(team, request), list(stage.reader(team).list())
    require((stage.keep(team, request), list(stage.reader(team).list())) == before, "a repeat changed something")
    return "200 twice, one row, one object"


def another_method_is_refused(stage: LocalStage) -> str:
    for method in ("GET", "PUT", "DELETE"):
        status = stage.ask(method).status_code
        require(status == 405, f"{method}: answered {status}, expected 405")
    return "GET, PUT, DELETE: 405"


def an_invalid_event_is_refused_and_leaves_nothing(stage: LocalStage) -> str:
    team = stage.make_team()
    broken = {
        "event": build_request("$pageview"),
        "distinct_id": build_request(distinct_id=None),
        "uuid": build_request(uuid="no-uuid"),
        "$ai_model": build_request(properties={}),
    }
    for name, request in broken.items():
        answer = stage.send(team, request)
        require(answer.status_code == 400, f"{name}: answered {answer.status_code}, expected 400")
        require(name in answer.text, f"{name}: the answer does not name it")
        stage.require_nothing_of(team, request)
    return f"{len(broken)} faults: 400, each named"


def _keep_size(stage: LocalStage, size: str) -> str:
    team, total = stage.make_team(), 0
    for number, kind in enumerate(CONTENT_TYPES):
        request = build_request(payloads={"$ai_input": make_payload(SIZES[size], kind, number)})
        total += check_values(stage.keep(team, request), request, stage.reader(team))
    return f"{total:,} bytes of {len(CONTENT_TYPES)} content types read back equal"


def a_value_of_1_kb_is_read_back(stage: LocalStage) -> str:
    return _keep_size(stage, "1 KB")


def a_value_of_100_kb_is_read_back(stage: LocalStage) -> str:
    return _keep_size(stage, "100 KB")


def a_value_of_1_mb_is_read_back(stage: LocalStage) -> str:
    return _keep_size(stage, "1 MB")


def a_value_of_10_mb_is_read_back(stage: LocalStage) -> str:
    return _keep_size(stage, "10 MB")


def urls_open_and_metadata_is_right(stage: LocalStage) -> str:
    team = stage.make_team()
    for kind, names in BLOB_NAMES.items():
        if names:
            payloads = dict(zip(names, make_mixed(len(names), 7), strict=True))
            event = stage.keep(team, build_request(kind, payloads))
            urls = read_references(event)
            check_head(event, urls, stage.reader(team))
            for name, url in urls.items():
                check_part(name, url, stage.reader(team))
    return "object, ranges, content type, team, event uuid, part count"


def teams_uploading_at_once_are_isolated(stage: LocalStage) -> str:
    teams = [stage.make_team() for _ in range(_TEAMS_AT_ONCE)]
    first = [build_request() for _ in range(_EVENTS_A_TEAM)]  # the same uuids in every team
    sent: list[tuple[Team, CaptureRequest]] = [
        (team, build_request(uuid=request.uuid, payloads={"$ai_input": make_payload(40_000, TEXT, number)}))
        for number, team in enumerate(teams)
        for request in first
    ]
    with ThreadPoolExecutor(len(teams)) as pool:
        statuses = set(pool.map(lambda pair: stage.send(*pair).status_code, sent))
    require(statuses == {200}, f"answered {sorted(statuses)}, expected 200")
    for team, request in sent:
        check_values(stage.find(team, request), request, stage.reader(team))
    for team in teams:
        count = len(list(stage.reader(team).list()))
        require(count == _EVENTS_A_TEAM, f"a team sees {count} objects, expected its own {_EVENTS_A_TEAM}")
    return f"{len(teams)} teams, {len(sent)} events of the same uuids, each reads its own bytes"


def two_to_ten_values_are_each_at_their_range(stage: LocalStage) -> str:
    team, total = stage.make_team(), 0
    for count in range(2, 11):
        payloads = {f"value_{number}": payload for number, payload in enumerate(make_mixed(count, count))}
        request = build_request(payloads=payloads)
        total += check_values(stage.keep(team, request), request, stage.reader(team))
    return f"54 values of mixed types in 9 objects, {total:,} bytes, every range exactly its part"


def a_range_is_headers_and_body_and_no_boundary(stage: LocalStage) -> str:
    team = stage.make_team()
    request = build_request(payloads={f"value_{n}": payload for n, payload in enumerate(make_mixed(3, 5))})
    urls = read_references(stage.keep(team, request))
    whole = stage.reader(team).read(next(iter(urls.values())).key)
    edge = stage.reader(team).head(next(iter(urls.values())).key).content_type.partition("boundary=")[2].encode()
    for name, url in urls.items():
        assert url.first is not None and url.last is not None
        data = stage.reader(team).read(str(url))
        require(data == whole[url.first : url.last + 1], f"{name}: the range is not inclusive at both ends")
        require(data.startswith(b"Content-Disposition: form-data; name="), f"{name}: does not begin with its headers")
        require(edge not in data, f"{name}: the boundary is inside its range")
        require(whole[: url.first].endswith(b"--" + edge + b"\r\n"), f"{name}: no boundary before its range")
        require(whole[url.last + 1 :].startswith(b"\r\n--" + edge), f"{name}: no boundary after its range")
    require(whole.endswith(b"--" + edge + b"--\r\n"), "the object does not end with its last boundary")
    return "inclusive at both ends, boundaries outside"


def values_that_look_like_multipart_survive(stage: LocalStage) -> str:
    team = stage.make_team()
    nasty = b'--edge\r\nContent-Disposition: form-data; name="event"\r\n\r\n{}\r\n--edge--\r\n' * 50
    request = build_request(payloads={"$ai_input": Payload(nasty, TEXT), "$ai_output_choices": Payload(b"\r\n", TEXT)})
    check_values(stage.keep(team, request), request, stage.reader(team))
    return "boundaries, headers and line breaks inside of values"


def properties_may_come_in_a_part_of_their_own(stage: LocalStage) -> str:
    team, plain = stage.make_team(), build_request(properties=None)
    own = RequestPart("event.properties", b'{"$ai_model": "acceptance-model", "large": "%s"}' % (b"x" * 100_000), JSON)
    event = stage.keep(team, CaptureRequest(plain.uuid, (*plain.parts, own)))
    require(len(event.properties["large"]) == 100_000, "other properties than were sent")
    return "100,000 bytes of properties beside an event without them"


def valid_tokens_are_let_in(stage: LocalStage) -> str:
    team = stage.make_team()
    for authorization in (f"Bearer {team.token}", f"bearer   {team.token}"):
        answer = stage.send(team, build_request(), Authorization=authorization)
        require(answer.status_code == 200, f"answered {answer.status_code}, expected 200")
    return "as it is, and with spaces before it"


def other_tokens_are_refused_and_leave_nothing(stage: LocalStage) -> str:
    team = stage.make_team()
    refused = {
        "no header": None,
        "another scheme": f"Basic {team.token}",
        "empty": "Bearer",
        "unknown": "Bearer phc_nobody_has_this_one",
        "cut": f"Bearer {team.token[:-1]}",
        "longer": f"Bearer {team.token}x",
        "too long": f"Bearer phc_{'x' * 61}",
        "personal": "Bearer phx_a_personal_key",
    }
    for name, authorization in refused.items():
        request = build_request(payloads={"$ai_input": make_payload(5_000, TEXT, 3)})
        answer = stage.send(team, request, Authorization=authorization)
        require(answer.status_code == 401, f"{name}: answered {answer.status_code}, expected 401")
        require(team.token not in answer.text, f"{name}: the answer quotes the token")
        stage.require_nothing_of(team, request)
    return f"{len(refused)} kinds: 401 ({', '.join(refused)})"


def a_revoked_token_is_refused(stage: LocalStage) -> str:
    team = stage.make_team()
    stage.connection.execute("UPDATE capture_tokens SET revoked_at = now() WHERE team = %s", (team.team,))
    status = stage.send(team, build_request()).status_code
    require(status == 401, f"answered {status}, expected 401")
    return "401"


def compressed_and_plain_values_in_one_request(stage: LocalStage) -> str:
    team = stage.make_team()
    payloads = {f"value_{number}": payload for number, payload in enumerate(make_mixed(6, 11))}
    request = build_request(payloads=payloads, compressed=frozenset(list(payloads)[::2]))
    check_values(stage.keep(team, request), request, stage.reader(team))
    return "3 gzip and 3 plain: each stored as it came, lengths uncompressed"


def a_compressed_request_with_compressed_values(stage: LocalStage) -> str:
    team = stage.make_team()
    payloads = {f"value_{number}": payload for number, payload in enumerate(make_mixed(4, 13, 50_000))}
    request = build_request(payloads=payloads, compressed=frozenset(["value_1"]), is_gzip=True)
    check_values(stage.keep(team, request), request, stage.reader(team))
    return f"{len(request.body()):,} bytes sent, gzip in gzip"


def broken_compression_is_refused_and_leaves_nothing(stage: LocalStage) -> str:
    team = stage.make_team()
    plain = build_request()
    for name, data in (("no gzip", b"plain text"), ("cut", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\x4b")):
        part = RequestPart("event.properties.$ai_input", data, TEXT, "gzip")
        request = CaptureRequest(plain.uuid, (*plain.parts, part))
        answer = stage.send(team, request)
        require(answer.status_code == 400, f"{name}: answered {answer.status_code}, expected 400")
        stage.require_nothing_of(team, request)
    answer = stage.send(team, plain, **{"Content-Encoding": "gzip"})
    require(answer.status_code == 400, f"whole body: answered {answer.status_code}, expected 400")
    return "a value that is no gzip, one that is cut, a body that is none: 400"


PHASES: Final[tuple[Phase[LocalStage], ...]] = (
    Phase(
        "1",
        "endpoint",
        (
            a_basic_generation_is_kept,
            all_six_types_are_kept,
            the_same_request_again_changes_nothing,
            another_method_is_refused,
            an_invalid_event_is_refused_and_leaves_nothing,
        ),
    ),
    Phase(
        "2",
        "blobs",
        (
            a_value_of_1_kb_is_read_back,
            a_value_of_100_kb_is_read_back,
            a_value_of_1_mb_is_read_back,
            a_value_of_10_mb_is_read_back,
            urls_open_and_metadata_is_right,
            teams_uploading_at_once_are_isolated,
        ),
    ),
    Phase(
        "4",
        "multipart file",
        (
            two_to_ten_values_are_each_at_their_range,
            a_range_is_headers_and_body_and_no_boundary,
            values_that_look_like_multipart_survive,
            properties_may_come_in_a_part_of_their_own,
        ),
    ),
    Phase(
        "5",
        "authorization",
        (valid_tokens_are_let_in, other_tokens_are_refused_and_leave_nothing, a_revoked_token_is_refused),
    ),
    Phase(
        "7",
        "compression",
        (
            compressed_and_plain_values_in_one_request,
            a_compressed_request_with_compressed_values,
            broken_compression_is_refused_and_leaves_nothing,
        ),
    ),
    EDGES,
)
