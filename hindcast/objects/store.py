"""What a store of objects offers, whether it is S3 or a folder, and the one that the settings name."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from hindcast.objects.content import Content
from hindcast.settings import Settings
from hindcast.storage import StoredObject

REQUESTS_AT_ONCE: Final = 8


@dataclass(frozen=True)
class Head:
    """An object without its bytes. `metadata` has what was given when it was put, and `sha256`."""

    key: str
    size: int
    content_type: str
    metadata: dict[str, str] = field(default_factory=dict)


class ObjectStore(Protocol):
    """One bucket. Keys have one spelling (`check_key`); an absent key is a FileNotFoundError.

    Every method raises StoreUnavailable after several tries at a store that does not answer, and ObjectError when it
    refuses.
    """

    @property
    def bucket(self) -> str: ...

    def put(self, key: str, content: Content, content_type: str, metadata: dict[str, str]) -> bool:
        """Store an object whole or not at all; False when the key holds the same bytes already.

        Never overwrites: raises ObjectConflict when the key holds other bytes. Safe to repeat, and to race.
        """
        ...

    def head(self, key: str) -> Head:
        """Size, content type and metadata."""
        ...

    def stream(self, key: str, first: int = 0, last: int | None = None) -> Iterator[bytes]:
        """The bytes from `first` to `last`, both inclusive, in blocks; raises ObjectError for one beyond the end."""
        ...

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Objects whose keys begin with the prefix, in the order of their keys."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is removed already."""
        ...

    def discard_unfinished(self, before: datetime) -> int:
        """Remove what uploads that died before then left aside, under no key; returns how many there were."""
        ...


def read_object(store: ObjectStore, key: str, first: int = 0, last: int | None = None) -> bytes:
    """The bytes from `first` to `last`, both inclusive, at once."""
    return b"".join(store.stream(key, first, last))


def bucket_of(settings: Settings) -> str:
    """The bucket that objects go to; opens no store."""
    return settings.llma_s3_bucket or "llma"


def is_on_s3(settings: Settings) -> bool:
    """S3 when LLMA_S3_BUCKET is set or HINDCAST_OBJECT_STORE says so, else folders in HINDCAST_HOME."""
    return settings.object_store == "s3" or (settings.object_store == "auto" and bool(settings.llma_s3_bucket))


def open_store(settings: Settings) -> ObjectStore:
    """The store that the settings name."""
    from hindcast.objects.local import LocalStore
    from hindcast.objects.s3 import S3Store

    if is_on_s3(settings):
        return S3Store(settings.llma_s3_bucket)
    return LocalStore(settings.home / "objects", bucket_of(settings))
