"""Every rule of the capture request, by a request and its answer."""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pytest
from capturing import TEAM, TOKEN, TYPES, Capture, Part, blob, build_body, event_part, json_part, make_fields

from hindcast.capture.refusal import Refused
from hindcast.capture.tokens import read_token

pytest_plugins = ["loading_fixtures", "capture_fixtures"]
OK = build_body(event_part())


def pad(size: int, **fields: object) -> bytes:
    """A JSON object of exactly so many bytes."""
    empty = len(json.dumps({**fields, "pad": ""}))
    return json.dumps({**fields, "pad": "x" * (size - empty)}).encode()


def test_a_basic_event_is_one_row_by_the_mapping(capture: Capture) -> None:
    answer = capture.send(event_part())
    assert answer.status_code == 200
    part = {
        "name": "event",
        "length": len(event_part()[1]),
        "content-type": "application/json",
        "content-encoding": None,
    }
    assert answer.json() == {"accepted_parts": [part]}
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    uuid, payload = "00000000-0000-0000-0000-000000000001", {"$ai_model": "model-1", "$ai_input_tokens": 12}
    assert capture.rows() == [("$ai_generation", when, "llm_analytics", TEAM, "user-1", uuid, payload, None)]
    assert (capture.ledger(), list(capture.store.list())) == ([], [])


def test_all_six_types_are_accepted(capture: Capture) -> None:
    for number, event in enumerate(TYPES):
        assert capture.send(event_part(number=number + 1, event=event)).status_code == 200
    assert [row[0] for row in capture.rows()] == list(TYPES)


def test_values_go_to_one_object_and_their_ranges_stay(capture: Capture) -> None:
    packed = gzip.compress(b"packed " * 1000)
    parts = (
        event_part(properties=None),
        json_part("event.properties", {"$ai_model": "m"}),
        blob("$ai_output_choices", packed, "application/json; charset=utf-8", Content_Encoding="gzip"),
        blob("$ai_input", b"\x00\xff--edge\r\n no boundary", "application/octet-stream"),
    )
    answer = capture.send(*parts)
    assert answer.status_code == 200, answer.text
    accepted = answer.json()["accepted_parts"]
    assert [part["name"] for part in accepted] == [name for name, *_ in parts]
    assert [part["length"] for part in accepted[2:]] == [7000, len(parts[3][1])]
    assert accepted[2]["content-encoding"] == "gzip"
    payload = capture.rows()[0][6]
    base = f"s3://llma/llma/{TEAM}/00000000-0000-0000-0000-000000000001?range="
    assert payload["$ai_input"].startswith(base) and payload["$ai_output_choices"].startswith(base)
    assert capture.reader().read_part(payload["$ai_input"]).body == parts[3][1]
    output = capture.reader().read_part(payload["$ai_output_choices"])
    assert (output.body, output.value(), output.headers["content-encoding"]) == (packed, b"packed " * 1000, "gzip")
    head = capture.reader().head(payload["$ai_input"].partition("?")[0])
    assert head.metadata["team"] == TEAM and head.metadata["part-count"] == "2"
    assert head.metadata["event-uuid"].endswith("01") and head.content_type.startswith("multipart/mixed; boundary=")
    assert capture.ledger() == [(head.key, TEAM, head.size, "committed")]


def test_a_whole_body_may_be_gzip_of_several_members(capture: Capture) -> None:
    body = build_body(event_part(), blob("$ai_input"))
    packed = gzip.compress(body[:100]) + gzip.compress(body[100:])
    answer = capture.post(packed, Content_Encoding="gzip")
    assert [part["length"] for part in answer.json()["accepted_parts"]] == [len(event_part()[1]), 13]


def test_an_event_without_a_time_is_given_the_time_it_came(capture: Capture) -> None:
    before = datetime.now(UTC)
    for _ in range(2):  # and the same bytes later are the same event
        assert capture.send(event_part(timestamp=None)).status_code == 200
    ((_, occurred_at, *_),) = capture.rows()
    assert before <= occurred_at <= datetime.now(UTC)


FIELDS: dict[str, tuple[dict[str, object], str]] = {
    "unknown event": ({"event": "$pageview"}, "expected one of"),
    "no event": ({"event": None}, "event: required"),
    "event is no text": ({"event": 1}, "event is a number"),
    "no distinct_id": ({"distinct_id": None}, "distinct_id: required"),
    "empty distinct_id": ({"distinct_id": " "}, "distinct_id: empty"),
    "distinct_id is no text": ({"distinct_id": 7}, "distinct_id is a number"),
    "no uuid": ({"uuid": None}, "uuid: expected"),
    "no valid uuid": ({"uuid": "not-a-uuid"}, "uuid: expected"),
    "uuid with a path": ({"uuid": "../../00000000-0000-0000-0000-00000000"}, "uuid: expected"),
    "no model": ({"properties": {}}, r"\$ai_model: required"),
    "empty model": ({"properties": {"$ai_model": ""}}, r"\$ai_model: empty"),
    "model is no text": ({"properties": {"$ai_model": 4}}, r"\$ai_model is a number"),
    "properties are a list": ({"properties": []}, "properties is an array"),
    "no properties": ({"properties": None}, r"\$ai_model: required"),
    "bad time": ({"timestamp": "yesterday"}, "expected a UTC time"),
    "future": ({"timestamp": "2999-01-01T00:00:00Z"}, "expected between"),
}


@pytest.mark.parametrize(("changes", "sentence"), FIELDS.values(), ids=FIELDS)
def test_an_event_that_breaks_a_rule_is_refused(capture: Capture, changes: dict[str, object], sentence: str) -> None:
    answer = capture.send(event_part(**changes))
    assert answer.status_code == 400
    assert httpx.Response(200, text=answer.json()["error"]).text.startswith("part event: ")
    with pytest.raises(AssertionError, match=sentence):
        raise AssertionError(answer.json()["error"])
    assert not capture.rows()


PARTS: dict[str, tuple[list[Part], int, str]] = {
    "not event first": ([blob("a"), event_part()], 400, "first part must be event"),
    "properties first": ([json_part("event.properties", {})], 400, "first part must be event"),
    "another name": ([event_part(), json_part("file", {})], 400, "'file': expected event"),
    "a dot in the name": ([event_part(), blob("a.b")], 400, "no dot"),
    "no name": ([event_part(), blob("")], 400, "no dot"),
    "event twice": ([event_part(), event_part()], 400, "part event: given twice"),
    "a blob twice": ([event_part(), blob("a"), blob("a")], 400, "given twice"),
    "properties twice over": ([event_part(), json_part("event.properties", {})], 400, "expected one of the two"),
    "a blob that is a property": ([event_part(), blob("$ai_model")], 400, "expected it once"),
    "an empty blob": ([event_part(), blob("a", b"")], 400, "event.properties.a: empty"),
    "no content type": ([event_part(), blob("a", kind="")], 400, "expected Content-Type"),
    "another content type": ([event_part(), blob("a", kind="image/png")], 400, "expected Content-Type"),
    "another encoding": ([event_part(), blob("a", Content_Encoding="br")], 400, "must be gzip"),
    "no gzip": ([event_part(), blob("a", b"plain", Content_Encoding="gzip")], 400, "event.properties.a: not gzip"),
    "half a gzip": (
        [event_part(), blob("a", gzip.compress(b"x")[:-4], Content_Encoding="gzip")], 400, "ends too early",
    ),
    "gzip event": ([("event", gzip.compress(b"{}"), {"Content-Encoding": "gzip"})], 400, "only values"),
    "event no JSON": ([("event", b"{nope", {})], 400, "part event: not JSON"),
    "event no object": ([("event", b"[1]", {})], 400, "expected a JSON object"),
    "event no UTF-8": ([("event", b'{"a":"\xff"}', {})], 400, "UTF-8"),
    "event too deep": ([("event", b"[" * 200 + b"]" * 200, {})], 400, "levels deep"),
    "properties no JSON": ([event_part(properties=None), ("event.properties", b"x", {})], 400, "event.properties: not"),
    "event too large": ([("event", pad(32_769, **make_fields()), {})], 413, "over 32,768 bytes"),
    "event and properties too large": (
        [("event", pad(1000, **make_fields(properties=None)), {}), ("event.properties", pad(982_041), {})],
        413, "over 983,040 bytes",
    ),
    "a gzip bomb": (
        [event_part(), blob("a", gzip.compress(bytes(26_214_401)), Content_Encoding="gzip")], 413, "over 26,214,400",
    ),
    "all parts too large": ([event_part(), blob("a", bytes(26_214_400))], 413, "over 26,214,400 bytes"),
    "too many parts": ([event_part(), *[blob(f"p{n}", b"x") for n in range(1000)]], 400, "over 1,000 parts"),
}  # fmt: skip


@pytest.mark.parametrize(("parts", "status", "sentence"), PARTS.values(), ids=PARTS)
def test_parts_that_break_a_rule_are_refused(capture: Capture, parts: list[Part], status: int, sentence: str) -> None:
    answer = capture.send(*parts)
    assert (answer.status_code, sentence in answer.json()["error"]) == (status, True), answer.text
    assert not capture.rows() and not list(capture.store.list()) and not capture.ledger()


def test_the_largest_of_everything_is_accepted(capture: Capture) -> None:
    event = ("event", pad(32_768, **make_fields(properties=None)), {})
    properties = ("event.properties", pad(983_040 - 32_768, **{"$ai_model": "m"}), {})
    large = blob("$ai_input", bytes(26_214_400 - 983_040), "application/octet-stream")
    assert capture.send(event, properties, large).status_code == 200


FRAMING: dict[str, tuple[bytes, dict[str, str | None], int, str]] = {
    "empty": (b"", {}, 400, "body: empty"),
    "not gzip": (OK, {"Content_Encoding": "gzip"}, 400, "body: not gzip"),
    "cut gzip": (gzip.compress(OK)[:-5], {"Content_Encoding": "gzip"}, 400, "ends too early"),
    "gzip of nothing": (gzip.compress(b""), {"Content_Encoding": "gzip"}, 400, "body: empty"),
    "another encoding": (OK, {"Content_Encoding": "zstd"}, 400, "must be gzip or absent"),
    "gzip bomb": (gzip.compress(bytes(40_000_000)), {"Content_Encoding": "gzip"}, 413, "inflates to over"),
    "no content type": (OK, {"Content_Type": None}, 400, "expected multipart/form-data"),
    "another content type": (OK, {"Content_Type": "application/json"}, 400, "expected multipart/form-data"),
    "no boundary": (OK, {"Content_Type": "multipart/form-data"}, 400, "boundary"),
    "another boundary": (OK, {"Content_Type": "multipart/form-data; boundary=other"}, 400, "not multipart"),
    "no last boundary": (OK[:-8], {}, 400, "ends before its last boundary"),
    "no part": (b"--edge--\r\n", {}, 400, "body:"),
    "no name": (OK.replace(b'; name="event"', b""), {}, 400, "with a name"),
    "no disposition": (OK.replace(b"Content-Disposition", b"X-Other"), {}, 400, "with a name"),
    "too large": (bytes(28_000_000), {}, 413, "over 26,214,400"),
    "no token": (OK, {"Authorization": None}, 401, "missing"),
    "empty token": (OK, {"Authorization": "Bearer"}, 401, "token: empty"),
    "another scheme": (OK, {"Authorization": f"Basic {TOKEN}"}, 401, "expected Bearer"),
    "unknown token": (OK, {"Authorization": "Bearer phc_unknown"}, 401, "not known"),
    "personal key": (OK, {"Authorization": "Bearer phx_personal"}, 401, "personal key"),
    "long token": (OK, {"Authorization": f"Bearer {'x' * 65}"}, 401, "over 64"),
}


@pytest.mark.parametrize(("body", "headers", "status", "sentence"), FRAMING.values(), ids=FRAMING)
def test_a_body_or_a_token_that_breaks_a_rule_is_refused(
    capture: Capture, body: bytes, headers: dict[str, str | None], status: int, sentence: str
) -> None:
    answer = capture.post(body, **headers)
    assert (answer.status_code, sentence in answer.json()["error"]) == (status, True), answer.text
    assert not capture.rows()


def test_the_checks_come_in_their_order(capture: Capture) -> None:
    gzipped: dict[str, str | None] = {"Content_Encoding": "gzip"}
    kind: dict[str, str | None] = {"Content_Type": "application/json"}
    boundary: dict[str, str | None] = {"Content_Type": "multipart/form-data"}
    auth: dict[str, str | None] = {"Authorization": None}
    bad_parts = build_body(blob("a"))
    steps: list[tuple[bytes, dict[str, str | None], str]] = [
        (b"", gzipped | kind | auth, "body: empty"),
        (b"no gzip", gzipped | kind | auth, "body: not gzip"),
        (gzip.compress(OK)[:-5], gzipped | kind | auth, "ends too early"),
        (bad_parts, kind | auth, "expected multipart/form-data"),
        (bad_parts, boundary | auth, "boundary"),
        (bad_parts, auth, "Authorization: missing"),
        (bad_parts, {}, "first part must be event"),
    ]
    for body, headers, sentence in steps:
        assert sentence in capture.post(body, **headers).json()["error"]


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
def test_other_methods_are_405(capture: Capture, method: str) -> None:
    answer = capture.client.request(method, "/i/v0/ai")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_other_paths_are_404_and_the_health_page_answers(capture: Capture) -> None:
    assert capture.client.post("/i/v0/other").status_code == 404
    assert capture.client.get("/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize("header", [f"Bearer {TOKEN}", f"  bearer   {TOKEN}  ", f"BEARER {TOKEN}\t"])
def test_the_token_is_trimmed(header: str) -> None:
    assert read_token(header) == TOKEN


@pytest.mark.parametrize("token", ["", " ", "x" * 65, "phc_é", "phc_\0", "phx_personal"])
def test_a_token_that_can_be_none_is_refused_without_being_quoted(token: str) -> None:
    with pytest.raises(Refused) as caught:
        read_token(f"Bearer {token}")
    assert caught.value.status == 401 and (not token.strip() or token not in caught.value.sentence)


def test_refusals_never_quote_a_value(capture: Capture) -> None:
    answers: list[Callable[[], httpx.Response]] = [
        lambda: capture.send(event_part(distinct_id=["someone@example.com"])),
        lambda: capture.send(("event", b'{"distinct_id": "someone@example.com"', {})),
        lambda: capture.post(OK, Authorization="Bearer secret-token-value"),
    ]
    for ask in answers:
        assert not {"someone", "secret-token-value"} & set(ask().text.replace("@", " ").split())
