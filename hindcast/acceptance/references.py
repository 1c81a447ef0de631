"""What must be true of the large values of one event: where they are, and what is there."""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Final

from hindcast.acceptance.events import StoredEvent
from hindcast.acceptance.outcome import require
from hindcast.acceptance.payloads import CONTENT_TYPES
from hindcast.acceptance.request import CaptureRequest
from hindcast.objects.keys import ObjectUrl, parse_url
from hindcast.objects.multipart import Part
from hindcast.objects.store import Head
from hindcast.objects.teams import TeamReader, key_of

_MIXED: Final = re.compile(r"multipart/mixed; *boundary=\S+")


def read_references(event: StoredEvent) -> dict[str, ObjectUrl]:
    """Where the values are, by property; requires one object, the team's own, and ranges that do not overlap."""
    urls = {name: parse_url(text) for name, text in event.references.items()}
    place = f"event {event.uuid}"
    require(urls, f"{place}: no property is a reference")
    require(len({(url.bucket, url.key) for url in urls.values()}) == 1, f"{place}: its values are in several objects")
    key = key_of(event.team, event.uuid)
    require(all(url.key == key for url in urls.values()), f"{place}: its values are not at {key}")
    reaches = sorted((url.first, url.last) for url in urls.values() if url.first is not None and url.last is not None)
    require(len(reaches) == len(urls), f"{place}: a reference has no range")
    require(all(one[1] < other[0] for one, other in pairwise(reaches)), f"{place}: ranges overlap")
    return urls


def check_head(event: StoredEvent, urls: Mapping[str, ObjectUrl], reader: TeamReader) -> Head:
    """Content type and metadata of the event's object; requires them to be the event's."""
    url = next(iter(urls.values()))
    head = reader.head(str(ObjectUrl(url.bucket, url.key)))
    place = f"object {head.key}"
    require(_MIXED.fullmatch(head.content_type), f"{place}: content type {head.content_type[:80]!r}")
    require(head.metadata.get("team") == event.team, f"{place}: metadata names another team, or none")
    require(head.metadata.get("event-uuid", "").lower() == event.uuid.lower(), f"{place}: metadata names another event")
    require(head.metadata.get("part-count") == str(len(urls)), f"{place}: part-count is not {len(urls)}")
    require(
        head.metadata.get("content-type", head.content_type) == head.content_type,
        f"{place}: metadata names another content type",
    )
    require(max(url.last or 0 for url in urls.values()) < head.size, f"{place}: a range goes beyond its end")
    return head


def check_part(name: str, url: ObjectUrl, reader: TeamReader) -> Part:
    """What is at a range; requires exactly one part, of that property, of a known content type."""
    part = reader.read_part(str(url))
    require(part.name == name, f"{url}: part {part.name[:60]!r}, expected {name!r}")
    kind = part.headers.get("content-type", "").partition(";")[0].strip().lower()
    require(kind in CONTENT_TYPES, f"{url}: content type {kind[:60]!r}")
    require(part.headers.get("content-encoding") in (None, "gzip"), f"{url}: another Content-Encoding than gzip")
    return part


def check_values(event: StoredEvent, request: CaptureRequest, reader: TeamReader) -> int:
    """Every value of a request read back equals what was sent, byte for byte; returns how many bytes those are."""
    urls = read_references(event)
    require(urls.keys() == request.payloads.keys(), f"event {event.uuid}: references are not those of the request")
    check_head(event, urls, reader)
    for name, payload in request.payloads.items():
        part = check_part(name, urls[name], reader)
        sent = next(part for part in request.parts if part.name == f"event.properties.{name}")
        require(part.body == sent.data, f"{urls[name]}: other bytes than were sent")
        require(part.headers.get("content-type") == sent.content_type, f"{urls[name]}: another content type")
        require(part.headers.get("content-encoding", "") == sent.content_encoding, f"{urls[name]}: another encoding")
        require(part.value() == payload.data, f"{urls[name]}: its value is not the one sent")
    return sum(len(payload.data) for payload in request.payloads.values())
