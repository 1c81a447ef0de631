"""Keys and URLs of objects: one strict spelling, so that no two texts mean the same object."""

import re
from dataclasses import dataclass
from typing import Final

from hindcast.errors import AccessRefused, ConfigurationError

LONGEST_KEY: Final = 1024  # S3's own limit
# Nothing that a URL, a file system or a person could read in two ways: no %, backslash, space, NUL; ASCII only.
_SEGMENT: Final = re.compile(r"[A-Za-z0-9_=@+-][A-Za-z0-9._=@+-]*")
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_TEAM: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_URL: Final = re.compile(r"s3://([^/?#]+)/([^?#]+)(?:\?range=(0|[1-9][0-9]{0,18})-(0|[1-9][0-9]{0,18}))?")


@dataclass(frozen=True)
class ObjectUrl:
    """`s3://bucket/key`, or a range of it: first and last byte, both inclusive."""

    bucket: str
    key: str
    first: int | None = None
    last: int | None = None

    def __str__(self) -> str:
        reach = "" if self.first is None else f"?range={self.first}-{self.last}"
        return f"s3://{self.bucket}/{self.key}{reach}"


def parse_url(text: str) -> ObjectUrl:
    """Read `s3://bucket/key?range=a-b`, both ends inclusive; raises AccessRefused for any other spelling."""
    match = _URL.fullmatch(text)
    if not match:
        raise AccessRefused(f"{_show(text)}: expected s3://bucket/key or s3://bucket/key?range=first-last")
    bucket, key, first, last = match.groups()
    check_bucket(bucket)
    check_key(key)
    if first is None:
        return ObjectUrl(bucket, key)
    if int(first) > int(last):
        raise AccessRefused(f"{_show(text)}: the range ends before it begins")
    return ObjectUrl(bucket, key, int(first), int(last))


def check_key(key: str) -> None:
    """Raise AccessRefused unless the key is segments of plain ASCII between slashes, none beginning with a dot."""
    if len(key) > LONGEST_KEY or not all(_SEGMENT.fullmatch(segment) for segment in key.split("/")):
        raise AccessRefused(
            f"key {_show(key)}: expected at most {LONGEST_KEY} characters, letters, digits and ._=@+- between slashes"
        )


def check_prefix(prefix: str) -> None:
    """Raise AccessRefused unless keys may begin so: whole segments, then perhaps a slash or part of a segment."""
    if prefix:
        check_key(prefix.removesuffix("/"))


def check_bucket(bucket: str) -> None:
    """Raise AccessRefused for what S3 takes for no bucket name."""
    if not _BUCKET.fullmatch(bucket) or ".." in bucket:
        raise AccessRefused(f"bucket {_show(bucket)}: expected 3 to 63 of a-z, 0-9, dot and hyphen")


def check_team(team: str) -> None:
    """Raise ConfigurationError unless a team's name can be one segment of a key."""
    if not _TEAM.fullmatch(team):
        raise ConfigurationError(f"team {_show(team)}: expected 1 to 64 letters, digits, _ and -")


def _show(text: str) -> str:
    return ascii(text[:100])
