"""Objects in S3 or a compatible store, through boto3: conditional puts, tries with jitter, downloads that go on."""

import base64
import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
)
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from hindcast.errors import ConfigurationError, ObjectConflict, ObjectError, StoreUnavailable
from hindcast.objects.content import BUFFER_BYTES, Content
from hindcast.objects.keys import check_bucket, check_key, check_prefix
from hindcast.objects.store import Head
from hindcast.storage import StoredObject

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LARGEST_PUT: Final = 5 * 1024**3  # S3's own limit of one request
_BUSY: Final = {"SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "ConditionalRequestConflict"}
_ABSENT: Final = {"NoSuchKey", "404", "NotFound"}
_TAKEN: Final = {"PreconditionFailed", "412"}
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Patience:
    """How often a request is tried, and how long each try and each pause may take."""

    attempts: int = 6
    longest_pause_seconds: float = 10.0
    connect_timeout_seconds: float = 5.0
    read_timeout_seconds: float = 30.0


class S3Store:
    """A bucket of S3. The client takes the usual AWS variables; `AWS_ENDPOINT_URL` names a compatible store."""

    def __init__(
        self, bucket: str, patience: Patience = Patience(), client: "S3Client | None" = None
    ) -> None:  # frozen
        if not bucket:
            raise ConfigurationError("LLMA_S3_BUCKET: not set; name the bucket for large values")
        check_bucket(bucket)
        self.bucket = bucket
        self._client = client or make_client(patience)
        self._retrying = Retrying(
            retry=retry_if_exception(_may_pass),
            stop=stop_after_attempt(patience.attempts),
            wait=wait_random_exponential(multiplier=0.1, max=patience.longest_pause_seconds),
            reraise=True,
        )

    def __str__(self) -> str:
        return f"s3://{self.bucket}"

    def put(self, key: str, content: Content, content_type: str, metadata: dict[str, str]) -> bool:
        check_key(key)
        if content.size > LARGEST_PUT:
            raise ObjectError(f"object {key}: {content.size:,} bytes; one put takes at most {LARGEST_PUT:,}")
        sha256 = content.sha256
        arguments: dict[str, Any] = {
            "Bucket": self.bucket,
            "Key": key,
            "ContentType": content_type,
            "ContentLength": content.size,
            "ChecksumSHA256": base64.b64encode(bytes.fromhex(sha256)).decode(),  # the store checks what arrived by it
            "Metadata": {**metadata, "sha256": sha256},
        }
        try:
            return self._try(key, lambda: self._put_once(arguments, content))
        except _Taken:
            held = self.head(key).metadata.get("sha256") or self._hash(key)
        if held == sha256:
            return False
        raise ObjectConflict(f"object {key}: holds other bytes than these {content.size:,}; left as it is")

    def head(self, key: str) -> Head:
        check_key(key)
        found = self._try(key, lambda: self._client.head_object(Bucket=self.bucket, Key=key))
        return Head(key, found["ContentLength"], found.get("ContentType", ""), dict(found["Metadata"]))

    def stream(self, key: str, first: int = 0, last: int | None = None) -> Iterator[bytes]:
        check_key(key)
        end = self.head(key).size if last is None else last + 1
        if not 0 <= first < end:
            if first == end == 0 and last is None:  # an empty object has no range to ask for
                return
            raise ObjectError(f"object {key}: bytes {first}-{end - 1} asked, it has {self.head(key).size}")
        etag = ""
        while first < end:
            blocks, etag = self._try(key, lambda: self._open(key, first, end - 1, etag))  # noqa: B023  # called at once
            for block in blocks:
                first += len(block)
                yield block

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        check_prefix(prefix)
        token: dict[str, Any] = {}
        while True:
            page = self._try(
                prefix,
                lambda: self._client.list_objects_v2(Bucket=self.bucket, Prefix=prefix, **token),  # noqa: B023  # called at once
            )
            for item in page.get("Contents", []):
                yield StoredObject(item["Key"], item["Size"], item["ETag"].strip('"'), item["LastModified"])
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def delete(self, key: str) -> None:
        check_key(key)
        self._try(key, lambda: self._client.delete_object(Bucket=self.bucket, Key=key))

    def discard_unfinished(self, before: datetime) -> int:
        return 0  # one request an object: S3 keeps nothing of a put that was cut

    def _put_once(self, arguments: dict[str, Any], content: Content) -> bool:
        """One try. A try whose answer was lost is found taken by the next, with the same bytes: then it is ours."""
        try:
            self._client.put_object(**arguments, Body=content.open(), IfNoneMatch="*")
        except ClientError as error:
            code = _code_of(error)
            if code in _TAKEN:
                raise _Taken from None
            if code not in {"NotImplemented", "501"}:
                raise
            self._put_after_asking(arguments, content)
        return True

    def _put_after_asking(self, arguments: dict[str, Any], content: Content) -> None:
        """For stores that do not know conditional puts: two writers at the same instant are not told apart."""
        try:
            self._client.head_object(Bucket=self.bucket, Key=arguments["Key"])
        except ClientError as error:
            if _code_of(error) not in _ABSENT:
                raise
            self._client.put_object(**arguments, Body=content.open())
        else:
            raise _Taken

    def _open(self, key: str, first: int, last: int, etag: str) -> tuple[Iterator[bytes], str]:
        """Ask for a range and read its first block; what breaks later ends the blocks early, to be asked for again."""
        same: Any = {"IfMatch": etag} if etag else {}  # a download that goes on is of the same object
        found = self._client.get_object(Bucket=self.bucket, Key=key, Range=f"bytes={first}-{last}", **same)
        if found["ContentLength"] != last - first + 1:  # S3 cuts a range that goes beyond the end
            found["Body"].close()
            size = found.get("ContentRange", "").rpartition("/")[2]
            raise ObjectError(f"object {key}: bytes {first}-{last} asked, it has {size or found['ContentLength']}")
        body = found["Body"]
        block = body.read(BUFFER_BYTES)
        if not block:
            body.close()
            raise HTTPClientError(error="the answer ended before its first byte")

        def blocks() -> Iterator[bytes]:
            with contextlib.closing(body), contextlib.suppress(BotoCoreError, OSError):
                more = block
                while more:
                    yield more
                    more = body.read(BUFFER_BYTES)

        return blocks(), found["ETag"]

    def _hash(self, key: str) -> str:
        digest = hashlib.sha256()
        for block in self.stream(key):
            digest.update(block)
        return digest.hexdigest()

    def _try(self, key: str, request: Callable[[], _Answer]) -> _Answer:
        place = f"s3://{self.bucket}/{key}"
        try:
            return self._retrying(request)
        except ClientError as error:
            code = _code_of(error)
            if code == "NoSuchBucket":
                raise ObjectError(f"bucket {self.bucket}: no such bucket; make it or correct LLMA_S3_BUCKET") from error
            if code in _ABSENT:
                raise FileNotFoundError(f"object {key}: no such object") from None
            if code == "InvalidRange":
                raise ObjectError(f"object {key}: the range asked begins beyond its end") from None
            if _may_pass(error):
                raise StoreUnavailable(f"{place}: the store answers {code}, also when asked again") from error
            raise ObjectError(f"{place}: the store refuses with {code}") from error
        except BotoCoreError as error:
            if not _may_pass(error):
                raise ObjectError(f"{place}: {' '.join(str(error).split())[:200]}") from error
            raise StoreUnavailable(
                f"{place}: {type(error).__name__}, also when asked again; check AWS_ENDPOINT_URL and the network"
            ) from error


class _Taken(Exception):
    """The key is there already."""


def make_client(patience: Patience, endpoint_url: str | None = None, is_signed: bool = True) -> "S3Client":
    """A client that tries once: trying again is ours, with one rule for every fault.

    `endpoint_url` is for another store than the environment's; one that never answers needs no signature, and no keys.
    """
    import os

    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    config = Config(
        signature_version=None if is_signed else UNSIGNED,
        retries={"mode": "standard", "total_max_attempts": 1},
        connect_timeout=patience.connect_timeout_seconds,
        read_timeout=patience.read_timeout_seconds,
        max_pool_connections=64,
    )
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    return boto3.client("s3", region_name=region, endpoint_url=endpoint_url, config=config)


def _code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _may_pass(error: BaseException) -> bool:
    """True for faults of the network and of the store itself, which another try may not meet."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = _code_of(error)
        return code in _BUSY or status == 429 or (status >= 500 and code not in {"NotImplemented", "501"})
    return isinstance(error, (HTTPClientError, EndpointConnectionError, IncompleteReadError))
