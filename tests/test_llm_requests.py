"""Files of captured multipart requests: what the endpoint would have kept, and nothing uncounted."""

import gzip
import json
import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from capturing import BOUNDARY, TEAM, TOKEN, Capture, blob, build_body, event_part, json_part
from loading import Import, count_events, load, query

from hindcast.records import Progress
from hindcast.request_records import iter_requests

pytest_plugins = ["loading_fixtures", "capture_fixtures"]
ROWS = "SELECT event_id, created_at, tenant, event_type, user_id, source_event_id, payload FROM analytics_events"
OBJECTS = "SELECT key, team, size_bytes, sha256, state FROM llm_objects ORDER BY key"
PLAIN = (event_part(),)
WITH_VALUES = (
    event_part(number=2),
    blob("$ai_input", b"a" * 600_000),
    blob("image", bytes(range(256)), "application/octet-stream"),
)
COMPRESSED = (event_part(number=3), blob("$ai_input", gzip.compress(b"text", mtime=0), Content_Encoding="gzip"))
APART = (
    json_part("event", {k: v for k, v in json.loads(event_part(number=4)[1]).items() if k != "properties"}),
    json_part("event.properties", {"$ai_model": "m", "long": "x" * 20_000}),
)


@pytest.fixture(autouse=True)
def one_home(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Imports use the store of the endpoint."""
    monkeypatch.setenv("HINDCAST_HOME", str(tmp_path))


def request(body: bytes, **headers: str | None) -> bytes:
    """A request as it goes over the wire; a header of None is left out."""
    given: dict[str, str | None] = {
        "Host": "capture.example",
        "Authorization": f"Bearer {TOKEN}",
        "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        "Content-Length": str(len(body)),
    }
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items() if value is not None)
    return f"POST /i/v0/ai HTTP/1.1\r\n{lines}\r\n".encode() + body


def in_chunks(body: bytes) -> bytes:
    pieces = [body[at : at + 70_000] for at in range(0, len(body), 70_000)]
    framed = b"".join(b"%x;note=1\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nX-Sum: 1\r\n\r\n"
    return request(body, Content_Length=None, Transfer_Encoding="chunked").removesuffix(body) + framed


def keep(path: Path, *requests: bytes, between: bytes = b"") -> Path:
    path.write_bytes(between.join(requests))
    return path


def rejects(begun: Import) -> list[tuple[str, str]]:
    from hindcast.staging import read_rejects

    return [
        (found.code, found.sentence)
        for segment in {chunk.segment for chunk in begun.manifest.chunks}
        for found in read_rejects(begun.folder, segment)
    ]


REQUESTS = [request(build_body(*parts)) for parts in (PLAIN, WITH_VALUES, COMPRESSED, APART)]


def test_what_was_captured_live_is_found_there_and_changes_nothing(capture: Capture, tmp_path: Path) -> None:
    for parts in (PLAIN, WITH_VALUES, COMPRESSED, APART):
        assert capture.send(*parts).status_code == 200
    rows, objects = sorted(query(capture.url, ROWS)), query(capture.url, OBJECTS)
    begun = load(capture.url, keep(tmp_path / "captured.http", *REQUESTS))
    counts = begun.counts()
    assert (counts.loaded, counts.duplicate, counts.conflict, counts.rejected) == (0, 4, 0, 0)
    assert (sorted(query(capture.url, ROWS)), query(capture.url, OBJECTS)) == (rows, objects)
    assert begun.failed_checks() == set()


@pytest.mark.parametrize("between", [b"", b"\r\n\r\n"])
def test_an_import_gives_the_rows_and_objects_that_the_endpoint_gives(
    capture: Capture, tmp_path: Path, between: bytes
) -> None:
    load(capture.url, keep(tmp_path / "captured.http", *REQUESTS, between=between))
    imported, objects = sorted(query(capture.url, ROWS)), query(capture.url, OBJECTS)
    assert len(imported) == 4 and {row[2] for row in imported} == {TEAM}
    for parts in (PLAIN, WITH_VALUES, COMPRESSED, APART):
        assert capture.send(*parts).status_code == 200
    assert (sorted(query(capture.url, ROWS)), query(capture.url, OBJECTS)) == (imported, objects)
    urls = dict(query(capture.url, "SELECT source_event_id, payload FROM analytics_events"))
    large = next(payload for payload in urls.values() if "image" in payload)
    assert capture.reader().read_part(large["$ai_input"]).body == b"a" * 600_000
    assert capture.reader().read_part(large["image"]).body == bytes(range(256))


@pytest.mark.parametrize(
    "data",
    [
        request(gzip.compress(build_body(*WITH_VALUES)), Content_Encoding="gzip"),
        in_chunks(build_body(*WITH_VALUES)),
        request(build_body(*WITH_VALUES), Content_Length=None),
    ],
    ids=["gzip", "chunked", "to the end of the file"],
)
def test_however_the_body_was_sent_it_is_the_same_event(capture: Capture, tmp_path: Path, data: bytes) -> None:
    capture.send(*WITH_VALUES)
    counts = load(capture.url, keep(tmp_path / "one.http", data)).counts()
    assert (counts.loaded, counts.duplicate, counts.rejected) == (0, 1, 0)


@pytest.mark.parametrize("name", ["captured.http.gz", "captured.http.zst", "captured.zip", "folder"])
def test_files_may_be_compressed_in_archives_and_in_folders(target: str, tmp_path: Path, name: str) -> None:
    import zstandard

    path, data = tmp_path / name, b"".join(REQUESTS)
    if name == "folder":
        path.mkdir()
        for number, one in enumerate(REQUESTS):
            keep(path / f"{number}.http", one)
    elif name.endswith(".zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a/captured.http", data)
            archive.writestr("b/more.http.gz", gzip.compress(REQUESTS[0]))
    else:
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else zstandard.compress(data))
    begun = load(target, path)
    assert begun.counts().loaded == 4 and count_events(target) == 4
    assert begun.failed_checks() == set()


def test_a_refused_request_is_a_reject_with_the_endpoints_sentence(capture: Capture, tmp_path: Path) -> None:
    refused: Sequence[tuple[tuple[Any, ...], dict[str, str | None]]] = [
        ((blob("$ai_input"),), {}),
        ((event_part(event="$pageview"),), {}),
        ((event_part(), blob("$ai_input", kind="image/png")), {}),
        ((event_part(), blob("$ai_input", b"no gzip", Content_Encoding="gzip")), {}),
        ((event_part(),), {"Content_Type": "application/json"}),
        ((event_part(),), {"Content_Encoding": "gzip"}),
        ((event_part(),), {"Authorization": "Basic abc"}),
    ]
    bodies = [(build_body(*parts), headers) for parts, headers in refused] + [(build_body(event_part())[:-9], {})]
    bodies += [
        (gzip.compress(b""), {"Content_Encoding": "gzip"}),
        (build_body(event_part()), {"Content_Encoding": "br"}),
        (build_body(event_part(), blob("$ai_input", b"x" * 27_300_000)), {}),
    ]
    answers = [capture.post(body, **headers) for body, headers in bodies]
    begun = load(capture.url, keep(tmp_path / "refused.http", *(request(body, **headers) for body, headers in bodies)))
    assert rejects(begun) == [
        ("refused_request", f"the endpoint answers {answer.status_code}: {answer.json()['error']}")
        for answer in answers
    ]
    assert begun.counts().rejected == 11 and count_events(capture.url) == 0


def test_other_requests_and_what_is_no_request_are_rejects_and_all_is_counted(target: str, tmp_path: Path) -> None:
    other = REQUESTS[0].replace(b"POST /i/v0/ai ", b"POST /i/v0/e ", 1)
    path = keep(tmp_path / "mixed.http", REQUESTS[0], other, REQUESTS[2], b"no request\r\n\r\n", REQUESTS[1])
    begun = load(target, path)
    assert [reason for reason, _ in rejects(begun)] == ["other_request", "malformed_request"]
    assert begun.counts().loaded == 2


def test_a_file_that_breaks_off_is_a_reject(target: str, tmp_path: Path) -> None:
    begun = load(target, keep(tmp_path / "cut.http", REQUESTS[0], REQUESTS[1][:-1_000]))
    assert rejects(begun) == [("cut_request", "the file ends 1,000 bytes before the request does")]
    assert begun.counts().loaded == 1


def test_no_token_is_in_what_is_staged(target: str, tmp_path: Path) -> None:
    odd = REQUESTS[0].replace(TOKEN.encode(), b"secret-of-another-spelling").replace(b"/i/v0/ai", b"/other")
    begun = load(target, keep(tmp_path / "odd.http", odd, *REQUESTS))
    for path in begun.folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert b"secret-of-another" not in data and TOKEN.encode() not in data, path.name


def test_without_a_time_an_event_has_that_of_the_request(target: str, tmp_path: Path) -> None:
    body = build_body(event_part(timestamp=None))
    begun = load(
        target, keep(tmp_path / "dated.http", request(body, Date="Fri, 02 Jan 2026 03:04:05 GMT"), request(body))
    )
    [(moment,)] = query(target, "SELECT created_at FROM analytics_events")
    assert f"{moment:%Y-%m-%d %H:%M:%S}" == "2026-01-02 03:04:05"
    assert [reason for reason, _ in rejects(begun)] == ["refused_request"]


def test_a_request_over_the_limit_is_one_fault_and_the_next_is_read() -> None:
    stream = BytesIO(request(b"x" * 3_000_000) + REQUESTS[0] + in_chunks(b"y" * 3_000_000) + REQUESTS[2])
    found = list(iter_requests(stream, 1 << 20, Progress()))
    assert [record.fault and record.fault.code for record in found] == ["line_too_long", None, "line_too_long", None]
    assert [record.raw for record in found if not record.fault] == [REQUESTS[0], REQUESTS[2]]
    assert [record.number for record in found] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "data",
    [
        b"POST /i/v0/ai HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /i/v0/ai HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcdefgh\r\n0\r\n\r\n",
        b"POST /i/v0/ai HTTP/1.1\r\nContent-Length: -5\r\n\r\nabc",
        b"POST /i/v0/ai HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n",
        b"\x00" * 100_000,
        b"POST /i/v0/ai HTTP/1.1\r\nno end of the head",
    ],
)
def test_broken_framing_is_one_fault(data: bytes) -> None:
    progress = Progress()
    [record] = iter_requests(BytesIO(data), 1 << 20, progress)
    assert record.fault and record.fault.code == "malformed_request"
    assert progress.bytes_read == len(data)
