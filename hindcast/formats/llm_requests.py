"""Captured multipart requests as records of `llm_analytics`: what the endpoint would have kept, by its own rules.

The event, its references and the bytes of its object are those the endpoint makes of the same request, so importing
what was captured loads nothing. Only who may capture is not asked: the token says whose event it is.
"""

from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Final

from hindcast.capture.parts import LARGEST_BODY, PartsReader, open_encoding, read_boundary, too_large
from hindcast.capture.refusal import Refused
from hindcast.capture.request import read_request
from hindcast.capture.tokens import read_token
from hindcast.errors import RecordError
from hindcast.event import Event
from hindcast.formats.base import Context
from hindcast.llm_events import Reading
from hindcast.objects.content import Content
from hindcast.objects.multipart import Value
from hindcast.objects.teams import team_of
from hindcast.request_records import split_head

PATH: Final = b"/i/v0/ai"


def read_captured(raw: bytes, context: Context, default_team: str) -> tuple[Event, list[Value]]:
    """The event of a request and its large values, held in memory; raises RecordError.

    An event without a time has that of the request's `Date`, or is rejected.
    """
    line, headers, body = split_head(raw)
    method, target, _ = line.split(b" ")
    if method != b"POST" or target.partition(b"?")[0].rstrip(b"/") != PATH:
        raise RecordError("other_request", f"expected POST {PATH.decode()}")
    try:
        return _read(headers, body, context, default_team)
    except Refused as refusal:
        raise RecordError("refused_request", f"the endpoint answers {refusal.status}: {refusal.sentence}") from None


def _read(headers: Message, body: bytes, context: Context, default_team: str) -> tuple[Event, list[Value]]:
    opened = _open(headers, body)
    boundary = read_boundary(headers["Content-Type"])
    authorization = headers["Authorization"]
    team = team_of(read_token(authorization)) if authorization else default_team
    parts = PartsReader(boundary)
    try:
        parts.feed(opened)
        captured = read_request(parts.finish(), Reading(team, context.latest, _read_date(headers)))
        values = [
            Value(value.name, Content([b"".join(value.content)]), value.content_type, value.content_encoding)
            for value in captured.values
        ]
    finally:
        parts.close()
    return captured.event, values


def _open(headers: Message, body: bytes) -> bytes:
    if len(body) > LARGEST_BODY:
        raise too_large()
    inflater = open_encoding(headers["Content-Encoding"]) if body else None
    if inflater:
        body = b"".join(inflater.feed(body))
        inflater.finish()
    if not body:
        raise Refused(400, "body: empty")
    return body


def _read_date(headers: Message) -> datetime | None:
    try:
        moment = parsedate_to_datetime(headers["Date"] or "")
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
