"""Opening bytes by where they are: local paths and `s3://bucket/key`. Both raise FileNotFoundError."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True)
class StoredObject:
    """One object under a prefix: its key, size, the store's own fingerprint, and when it was written."""

    key: str
    size_bytes: int
    etag: str
    modified_at: datetime


def is_s3(location: str) -> bool:
    """True for `s3://...`."""
    return location.startswith("s3://")


def split_s3(location: str) -> tuple[str, str]:
    """Bucket and key of `s3://bucket/key`."""
    bucket, _, key = location.removeprefix("s3://").partition("/")
    return bucket, key


@cache
def s3_client() -> "S3Client":
    """The client of this process, from the usual AWS variables (`AWS_ENDPOINT_URL` for compatible stores)."""
    import boto3  # 0.2 s, and only S3 exports need it
    from botocore.config import Config

    config = Config(retries={"mode": "standard", "max_attempts": 5}, connect_timeout=10, read_timeout=60)
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    return boto3.client("s3", region_name=region, config=config)


def list_objects(location: str) -> Iterator[StoredObject]:
    """Objects whose keys begin with the location's key, in key order."""
    bucket, prefix = split_s3(location)
    pages = s3_client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    for page in pages:
        for item in page.get("Contents", []):
            yield StoredObject(item["Key"], item["Size"], item["ETag"].strip('"'), item["LastModified"])


def open_binary(location: str, start: int = 0) -> BinaryIO:
    """Open for reading, standing at `start`. Seekable, also on S3 (ranged requests)."""
    if is_s3(location):
        import smart_open

        parameters = {"client": s3_client()}
        stream: BinaryIO = smart_open.open(location, "rb", compression="disable", transport_params=parameters)
    else:
        stream = Path(location).open("rb")
    if start:
        stream.seek(start)
    return stream
