"""The parts of a multipart body, checked while they come; large values go to one file a request.

No Starlette here: files of captured requests are read by the same rules.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, cast

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from hindcast.capture.inflating import Inflater
from hindcast.capture.refusal import Refused
from hindcast.objects.content import Content, Piece, Spool

LARGEST_EVENT: Final = 32_768
LARGEST_EVENT_AND_PROPERTIES: Final = 983_040
LARGEST_PARTS: Final = 26_214_400
FRAMING_BYTES: Final = 1024 * 1024  # for boundaries and headers, on top of the parts
LARGEST_BODY: Final = LARGEST_PARTS + FRAMING_BYTES
MOST_PARTS: Final = 1_000  # a value of some bytes needs no part of its own
SPOOLED_BYTES: Final = 512 * 1024  # up to here values stay in memory
BLOB_TYPES: Final = ("application/json", "text/plain", "application/octet-stream")
EVENT: Final = "event"
PROPERTIES: Final = "event.properties"
_BLOB_NAME: Final = re.compile(r"event\.properties\.([^.\x00-\x1f\x7f]{1,200})")
_BOUNDARY: Final = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")


@dataclass
class ReceivedPart:
    """A part as it came. `length` is that of what it holds, uncompressed."""

    name: str
    content_type: str | None
    content_encoding: str | None
    length: int = 0
    small: bytearray = field(default_factory=bytearray)  # of event and event.properties
    piece: Piece | None = None

    @property
    def property_name(self) -> str | None:
        """The property that a blob is the value of; None for the other parts."""
        return self.name.removeprefix(f"{PROPERTIES}.") if self.name.startswith(f"{PROPERTIES}.") else None

    @property
    def content(self) -> Content:
        """The bytes as they came, compressed or not."""
        return Content([self.piece] if self.piece else [bytes(self.small)])


def read_boundary(content_type: str | None) -> bytes:
    """The boundary of a request's Content-Type; raises Refused."""
    kind, options = parse_options_header(content_type or "")
    if kind.lower() != b"multipart/form-data":
        raise Refused(400, "Content-Type: expected multipart/form-data")
    boundary = options.get(b"boundary", b"")
    if not _BOUNDARY.fullmatch(boundary):
        raise Refused(400, "Content-Type: expected a boundary of 1 to 70 characters")
    return boundary


def open_encoding(encoding: str | None) -> Inflater | None:
    """What opens a body of this Content-Encoding; None when it is to be read as it is. Raises Refused."""
    name = (encoding or "").strip().lower()
    if name == "gzip":
        return Inflater("body", LARGEST_BODY)
    if name not in {"", "identity"}:
        raise Refused(400, "body: Content-Encoding must be gzip or absent")
    return None


def too_large() -> Refused:
    """The refusal of a body of over LARGEST_BODY."""
    return Refused(413, f"body: over {LARGEST_PARTS:,} bytes of parts")


class PartsReader:
    """Takes a body in blocks of any size, keeps what it needs. Close it to give the file back."""

    def __init__(self, boundary: bytes, spool_folder: str | None = None) -> None:
        self._parts: dict[str, ReceivedPart] = {}
        self._spool = Spool(spool_folder, SPOOLED_BYTES)
        self._received = self._part_bytes = 0
        self._header_name, self._header_value = bytearray(), bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._part: ReceivedPart | None = None
        self._inflater: Inflater | None = None
        self._is_whole = False
        callbacks: dict[str, Callable[..., Any]] = {
            "on_part_begin": self._begin_part,
            "on_header_field": self._add_header_name,
            "on_header_value": self._add_header_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._add_data,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }
        self._parser = MultipartParser(boundary, cast(Any, callbacks), max_header_count=16)

    def feed(self, block: bytes) -> None:
        """Take some bytes; raises Refused at the first rule they break."""
        try:
            self._parser.write(block)
        except FormParserError as error:
            raise Refused(400, f"{self._place()}: not multipart: {_one_line(error)}") from None

    def finish(self) -> list[ReceivedPart]:
        """The parts in the order they came; raises Refused when the body is not whole."""
        if not self._is_whole:
            raise Refused(400, f"{self._place()}: the body ends before its last boundary")
        if not self._parts:
            raise Refused(400, "body: no part; expected event first")
        return list(self._parts.values())

    def close(self) -> None:
        """Give the file back; parts cannot be read afterwards."""
        self._spool.close()

    def _place(self) -> str:
        return f"part {self._part.name}" if self._part else f"after part {len(self._parts)}" if self._parts else "body"

    def _begin_part(self) -> None:
        self._headers = {}
        if len(self._parts) >= MOST_PARTS:
            raise Refused(400, f"body: over {MOST_PARTS:,} parts")

    def _add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        self._headers[bytes(self._header_name).lower()] = bytes(self._header_value).strip()
        self._header_name, self._header_value = bytearray(), bytearray()

    def _end_headers(self) -> None:
        number = len(self._parts) + 1
        name = _read_name(self._headers.get(b"content-disposition", b""), number)
        part = ReceivedPart(
            name,
            _read_header(self._headers, b"content-type", name),
            (_read_header(self._headers, b"content-encoding", name) or "").lower() or None,
        )
        _check_part(part, number)
        if name in self._parts:
            raise Refused(400, f"part {name}: given twice")
        self._part = self._parts[name] = part
        self._part_bytes = 0
        if part.property_name is not None:
            part.piece = Piece(self._spool.read_at, self._spool.size, 0)
        self._inflater = Inflater(f"part {name}", LARGEST_PARTS) if part.content_encoding else None

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        assert part
        block = data[start:end]
        self._part_bytes += len(block)
        self._received += len(block)
        if self._received > LARGEST_PARTS:
            raise Refused(413, f"part {part.name}: all parts together are over {LARGEST_PARTS:,} bytes")
        if part.piece is None:
            part.small += block
            self._check_small(part)
        else:
            self._spool.write(block)
        if self._inflater:
            for _ in self._inflater.feed(block):
                pass

    def _check_small(self, part: ReceivedPart) -> None:
        if part.name == EVENT and len(part.small) > LARGEST_EVENT:
            raise Refused(413, f"part {EVENT}: over {LARGEST_EVENT:,} bytes")
        if sum(len(self._parts[name].small) for name in (EVENT, PROPERTIES) if name in self._parts) > (
            LARGEST_EVENT_AND_PROPERTIES
        ):
            raise Refused(413, f"part {part.name}: with the event over {LARGEST_EVENT_AND_PROPERTIES:,} bytes")

    def _end_part(self) -> None:
        part = self._part
        assert part
        part.length = self._part_bytes
        if part.piece:
            if not self._part_bytes:
                raise Refused(400, f"part {part.name}: empty")
            part.piece = Piece(self._spool.read_at, part.piece.offset, self._part_bytes)
        if self._inflater:
            self._inflater.finish()
            part.length = self._inflater.size
            if sum(p.length for p in self._parts.values()) > LARGEST_PARTS:
                raise Refused(413, f"part {part.name}: all parts, uncompressed, are over {LARGEST_PARTS:,} bytes")
        self._part = self._inflater = None

    def _end(self) -> None:
        self._is_whole = True


def _read_name(disposition: bytes, number: int) -> str:
    kind, options = parse_options_header(disposition)
    if kind.lower() != b"form-data" or b"name" not in options:
        raise Refused(400, f"part {number}: expected Content-Disposition: form-data with a name")
    try:
        return options[b"name"].decode()
    except UnicodeDecodeError:
        raise Refused(400, f"part {number}: its name is not UTF-8") from None


def _read_header(headers: dict[bytes, bytes], header: bytes, name: str) -> str | None:
    value = headers.get(header)
    if value is None:
        return None
    if not value.isascii() or len(value) > 200 or any(byte < 32 or byte == 127 for byte in value):
        raise Refused(400, f"part {name[:200]}: its {header.decode()} is not plain ASCII of up to 200 characters")
    return value.decode("ascii")


def _check_part(part: ReceivedPart, number: int) -> None:
    """Names, their order, and what a blob must say of itself."""
    if number == 1 and part.name != EVENT:
        raise Refused(400, f"part {part.name[:200]!a}: the first part must be event")
    if part.name in (EVENT, PROPERTIES):
        if part.content_encoding:
            raise Refused(400, f"part {part.name}: only values of properties may have a Content-Encoding")
        return
    if not _BLOB_NAME.fullmatch(part.name):
        raise Refused(
            400,
            f"part {part.name[:200]!a}: expected event, event.properties or event.properties.<name>, no dot in <name>",
        )
    kind = (part.content_type or "").partition(";")[0].strip().lower()
    if kind not in BLOB_TYPES:
        raise Refused(400, f"part {part.name}: expected Content-Type {', '.join(BLOB_TYPES[:-1])} or {BLOB_TYPES[-1]}")
    if part.content_encoding not in (None, "gzip"):
        raise Refused(400, f"part {part.name}: Content-Encoding must be gzip or absent")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:100]
