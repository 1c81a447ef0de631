"""One object an event: a `multipart/mixed` body whose parts are the event's large values, each at a byte range.

The same values give the same bytes: parts are in the order of their names, and the boundary is a hash of them.
"""

import gzip
import hashlib
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from hindcast.errors import ObjectError
from hindcast.objects.content import BUFFER_BYTES, Content

_HEADER: Final = re.compile(rb"([A-Za-z-]+): ([^\r\n]*)")
_NAME: Final = re.compile(r'form-data; name="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Value:
    """A large value of one property, as its part will hold it: compressed when `content_encoding` says so."""

    name: str
    content: Content
    content_type: str
    content_encoding: str | None = None

    def header(self) -> bytes:
        """The part's headers and the blank line after them."""
        lines = [f'Content-Disposition: form-data; name="{_quote(self.name)}"', f"Content-Type: {self.content_type}"]
        if self.content_encoding:
            lines.append(f"Content-Encoding: {self.content_encoding}")
        if any(character in line for line in lines for character in "\r\n\0"):
            raise ValueError("a header of a part may not hold a line break or NUL")
        return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"


@dataclass(frozen=True)
class MultipartObject:
    """A body and where its values are: first and last byte, inclusive, headers included and boundaries not."""

    content: Content
    boundary: str
    ranges: Mapping[str, tuple[int, int]]

    @property
    def content_type(self) -> str:
        """The object's own content type."""
        return f"multipart/mixed; boundary={self.boundary}"


@dataclass(frozen=True)
class Part:
    """A part as read back: the property's name, the headers by lower-case name, the body as it was stored."""

    name: str
    headers: dict[str, str]
    body: bytes

    def value(self, largest: int = 64 * 1024 * 1024) -> bytes:
        """The body, inflated when it is gzip; raises ObjectError when it is not what it says, or over `largest`."""
        if "content-encoding" not in self.headers:
            return self.body
        return inflate(self.body, largest)


def build_object(values: Iterable[Value]) -> MultipartObject:
    """Put values together; reads each twice (for its hash, and to be sure of the boundary), keeps none in memory."""
    ordered = sorted(values, key=lambda value: value.name)
    if len({value.name for value in ordered}) < len(ordered) or not ordered:
        raise ValueError("an object takes at least one value, and each name once")
    headers = [value.header() for value in ordered]
    boundary = _choose_boundary(ordered, headers)
    parts: list[bytes | Content] = []
    ranges: dict[str, tuple[int, int]] = {}
    position = 0
    for value, header in zip(ordered, headers, strict=True):
        opening = f"--{boundary}\r\n".encode()
        first = position + len(opening)
        end = first + len(header) + value.content.size
        ranges[value.name] = (first, end - 1)
        parts += [opening, header, value.content, b"\r\n"]
        position = end + 2
    parts.append(f"--{boundary}--\r\n".encode())
    pieces = [piece for part in parts for piece in (part.parts if isinstance(part, Content) else (part,))]
    return MultipartObject(Content(pieces), boundary, ranges)


def describe_object(team: str, event_uuid: str, content_type: str, part_count: int) -> dict[str, str]:
    """The metadata of an event's object."""
    return {"team": team, "event-uuid": event_uuid, "content-type": content_type, "part-count": str(part_count)}


def parse_part(data: bytes) -> Part:
    """Read the bytes of one range; raises ObjectError when they are not exactly one part."""
    head, separator, body = data.partition(b"\r\n\r\n")
    headers: dict[str, str] = {}
    for line in head.split(b"\r\n"):
        match = _HEADER.fullmatch(line)
        if not match:
            raise ObjectError("the range does not begin with the headers of a part")
        headers[match[1].decode().lower()] = match[2].decode("utf-8", "replace")
    named = _NAME.fullmatch(headers.get("content-disposition", ""))
    if not separator or not named:
        raise ObjectError("the range holds no whole part")
    return Part(re.sub(r"\\(.)", r"\1", named[1]), headers, body)


def inflate(data: bytes, largest: int) -> bytes:
    """Read gzip of one member or several; raises ObjectError when it is none, is cut, or gives too much."""
    chunks: list[bytes] = []
    size = 0
    try:
        with gzip.GzipFile(fileobj=Content([data]).open()) as file:
            while block := file.read(BUFFER_BYTES):
                size += len(block)
                if size > largest:
                    raise ObjectError(f"a gzip value inflates to over {largest:,} bytes")
                chunks.append(block)
    except (OSError, EOFError, zlib.error) as error:
        raise ObjectError(f"a value that says it is gzip cannot be inflated: {error}") from None
    return b"".join(chunks)


def _choose_boundary(values: list[Value], headers: list[bytes]) -> str:
    digest = hashlib.sha256()
    for value, header in zip(values, headers, strict=True):
        digest.update(b"%d:%d:%s" % (len(header), value.content.size, header))
        digest.update(bytes.fromhex(value.content.sha256))
    tries = 0
    while True:
        boundary = "hindcast-" + hashlib.sha256(b"%d:%s" % (tries, digest.digest())).hexdigest()[:32]
        sought = boundary.encode()
        if not any(
            sought in header or _holds(value.content, sought) for value, header in zip(values, headers, strict=True)
        ):
            return boundary
        tries += 1


def _holds(content: Content, sought: bytes) -> bool:
    tail = b""
    for block in content:
        joined = tail + block
        if sought in joined:
            return True
        tail = joined[-len(sought) + 1 :]
    return False


def _quote(name: str) -> str:
    return name.replace("\\", "\\\\").replace('"', '\\"')
