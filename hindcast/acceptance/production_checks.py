"""The checks of production mode: what is there already is looked at, phase by phase; nothing is sent to be stored."""

import gzip
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from hindcast.acceptance.events import StoredEvent
from hindcast.acceptance.guard import WriteRefused, refuse_operation, refuse_writes
from hindcast.acceptance.local_edges import make_tricks, require_refused
from hindcast.acceptance.outcome import CheckFailed, Phase, Skipped, require
from hindcast.acceptance.production import ProductionStage
from hindcast.acceptance.references import check_head, check_part
from hindcast.llm_events import BLOB_NAMES
from hindcast.objects.content import Content
from hindcast.objects.keys import ObjectUrl
from hindcast.objects.multipart import Part

_OTHER_TEAM: Final = "0123456789abcdef"
_WRITING_OPERATIONS: Final = ("PutObject", "DeleteObject", "CopyObject", "CreateMultipartUpload", "PutObjectAcl")


def events_are_found(stage: ProductionStage) -> str:
    require(stage.events, f"no event of the last {stage.settings.acceptance_days} days; is it the right project?")
    counts = Counter(event.event for event in stage.events)
    wrong = [name for name in counts if name not in BLOB_NAMES]
    require(not wrong, f"events of other types came: {', '.join(wrong[:3])}")
    return ", ".join(f"{name} {counts[name]}" for name in BLOB_NAMES)


def events_have_what_is_required(stage: ProductionStage) -> str:
    for event in stage.events:
        place = f"event {event.uuid}"
        require(event.distinct_id.strip(), f"{place}: empty distinct_id")
        model = event.properties.get("$ai_model")
        require(isinstance(model, str) and model.strip(), f"{place}: no $ai_model")
    return f"{len(stage.events)} events: distinct_id, $ai_model"


def an_event_is_found_by_its_uuid(stage: ProductionStage) -> str:
    if not stage.events:
        raise Skipped("no events")
    asked = stage.events[0]
    require(stage.api.find(asked.uuid) == asked, f"event {asked.uuid}: asked for by uuid, another answer came")
    return "the latest event, the same both ways"


def the_capture_route_takes_posts_only(stage: ProductionStage) -> str:
    if not stage.access.capture_url:
        raise Skipped("CAPTURE_ENDPOINT is not set")
    parts = urlsplit(stage.access.capture_url)
    url = stage.access.capture_url if parts.path.strip("/") else f"{parts.scheme}://{parts.netloc}/i/v0/ai"
    status = stage.client.get(url).status_code
    require(status == 405, f"GET: answered {status}, expected 405")
    return "GET: 405"


def references_are_the_teams_own(stage: ProductionStage) -> str:
    found = _referring(stage)
    return f"{sum(len(urls) for _, urls in found)} references of {len(found)} events, below {stage.reader.prefix}"


def objects_are_there_with_their_metadata(stage: ProductionStage) -> str:
    sizes = [check_head(event, urls, stage.reader).size for event, urls in _referring(stage)]
    return f"{len(sizes)} objects, {min(sizes):,} to {max(sizes):,} bytes"


def ranges_open(stage: ProductionStage) -> str:
    found = _referring(stage)
    parts = list(_open_small(stage, [(event, dict(list(urls.items())[:1])) for event, urls in found]))
    return f"{len(parts)} of {len(found)} first values opened, the others are over the limit of a download"


def every_range_is_exactly_its_part(stage: ProductionStage) -> str:
    several = [(event, urls) for event, urls in _referring(stage) if len(urls) > 1]
    if not several:
        raise Skipped("no event has several values")
    opened = list(_open_small(stage, several))
    if not opened:
        raise Skipped(f"every value of the {len(several)} events is over the limit of a download")
    return f"{len(opened)} parts of {len(several)} events with 2 to {max(len(urls) for _, urls in several)} values"


def the_key_is_needed(stage: ProductionStage) -> str:
    require(stage.api.probe(stage.access.key) == 200, "POSTHOG_API_KEY: refused")
    for name, key in (("another key", "phx_nobody_has_this_one"), ("no key", None)):
        status = stage.api.probe(key)
        require(status in (401, 403), f"{name}: answered {status}, expected 401 or 403")
    return "ours is let in, another one and none are refused"


def compressed_values_inflate(stage: ProductionStage) -> str:
    parts = list(_open_small(stage, _referring(stage)))
    packed = [part for _, part in parts if part.headers.get("content-encoding") == "gzip"]
    for _, part in parts:
        part.value()  # raises ObjectError for what says it is gzip and is not
    if not packed:
        raise Skipped(f"none of {len(parts)} values is compressed")
    return f"{len(packed)} of {len(parts)} values are gzip, and all inflate"


def writes_are_refused_here(stage: ProductionStage) -> str:
    own = f"{stage.reader.prefix}acceptance"
    requests = [httpx.Request(verb, stage.access.query_url) for verb in ("PUT", "PATCH", "DELETE")]
    host = stage.access.query_url.partition("/api/")[0]
    requests += [
        httpx.Request("POST", f"{host}/i/v0/ai", content=b"event"),
        httpx.Request("POST", f"{host}/capture", json={"event": "x"}),
        httpx.Request("POST", stage.access.query_url, json={"query": {"kind": "HogQLQuery", "query": "DROP TABLE x"}}),
        httpx.Request("POST", stage.access.query_url, content=gzip.compress(b"{}")),
    ]
    attempts: list[Callable[[], Any]] = [partial(refuse_writes, one, stage.access.query_url) for one in requests]
    attempts += [partial(refuse_operation, name) for name in _WRITING_OPERATIONS]
    attempts += [partial(stage.store.put, own, Content([b"x"]), "text/plain", {}), partial(stage.store.delete, own)]
    for attempt in attempts:
        try:
            attempt()
        except WriteRefused:
            continue
        raise CheckFailed("a write was not refused by the client")
    return f"{len(attempts)} kinds of writes refused before they were sent"


def another_teams_objects_are_refused_here(stage: ProductionStage) -> str:
    uuid = "00000000-0000-0000-0000-000000000000"
    url = f"s3://{stage.access.bucket}/llma/{_OTHER_TEAM}/{uuid}?range=0-1"
    tricks = make_tricks(stage.access.bucket, stage.access.team, _OTHER_TEAM, uuid, url)
    require_refused(stage.reader, tricks, _OTHER_TEAM)
    return f"{len(tricks)} references refused before the store was asked"


def _referring(stage: ProductionStage) -> list[tuple[StoredEvent, Mapping[str, ObjectUrl]]]:
    if not stage.referring:
        raise Skipped(f"none of the latest {len(stage.events)} events has a large value")
    return stage.referring


def _open_small(
    stage: ProductionStage, found: list[tuple[StoredEvent, Mapping[str, ObjectUrl]]]
) -> Iterator[tuple[StoredEvent, Part]]:
    """The values that are not over the limit of a download."""
    for event, urls in found:
        for name, url in urls.items():
            assert url.first is not None and url.last is not None
            if url.last - url.first < stage.store.largest_download:
                yield event, check_part(name, url, stage.reader)


PHASES: Final[tuple[Phase[ProductionStage], ...]] = (
    Phase(
        "1",
        "endpoint",
        (
            events_are_found,
            events_have_what_is_required,
            an_event_is_found_by_its_uuid,
            the_capture_route_takes_posts_only,
        ),
    ),
    Phase("2", "blobs", (references_are_the_teams_own, objects_are_there_with_their_metadata, ranges_open)),
    Phase("4", "multipart file", (every_range_is_exactly_its_part,)),
    Phase("5", "authorization", (the_key_is_needed,)),
    Phase("7", "compression", (compressed_values_inflate,)),
    Phase("edge", "cases", (writes_are_refused_here, another_teams_objects_are_refused_here)),
)
