"""What to generate, and what the generator then knows about it: the answer key."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hindcast.errors import ConfigurationError

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
SEED_LIMIT = 1 << 64  # the key of the counter-based generator is two 64-bit words: seed and block


@dataclass(frozen=True)
class GenerateSpec:
    """One export to make. The same format, count, seed, window, parts and defects give the same bytes.

    `count` is the exact number of records (non-blank lines). `out` is one file, compressed when its name ends
    in .gz or .zst; with `parts` over one it is a folder of that many files, compressed by the same endings.
    Every valid event lies in `[start, end)`. `progress` is called with the number of records made so far.
    """

    format: str
    count: int
    seed: int
    out: Path
    start: datetime = datetime(2024, 1, 1, tzinfo=UTC)
    end: datetime = datetime(2024, 7, 1, tzinfo=UTC)
    defects: bool = True
    parts: int = 1
    progress: Callable[[int], None] | None = None

    def __post_init__(self) -> None:
        """Refuse, with ConfigurationError, what could only fail later or make a key that is not true."""
        if self.count < 1:
            raise ConfigurationError(f"count {self.count}: expected at least 1")
        if not 0 <= self.seed < SEED_LIMIT:
            raise ConfigurationError(f"seed {self.seed}: expected 0 to {SEED_LIMIT - 1}")
        if not 1 <= self.parts <= self.count:
            raise ConfigurationError(f"parts {self.parts}: expected 1 to the count of records, {self.count}")
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ConfigurationError("window: expected times with a zone")
        if self.start < EARLIEST or self.end - self.start < timedelta(hours=1):
            raise ConfigurationError(f"window {self.start} to {self.end}: expected at least an hour, not before 1970")
        if self.end > datetime.now(UTC) + timedelta(days=1):
            raise ConfigurationError(f"window end {self.end}: events later than tomorrow would all be rejects")


@dataclass(frozen=True)
class MonthCount:
    """Events expected in the table, by UTC month (`2024-01`) and type."""

    month: str
    event_type: str
    export: int


@dataclass(frozen=True)
class FileFacts:
    """One file as written; size and hash are of the bytes on disk."""

    name: str
    size_bytes: int
    records: int
    sha256: str


@dataclass(frozen=True)
class Answers:
    """What a first import of the export into an empty table must report.

    Kept by the generator's own books, never by decoding: `months` and `sanitised` count what is loaded;
    `first_at`, `last_at`, `naive_times`, `times_differ` and `unknown_properties` speak of all staged records.
    `planted` says how often each kind of odd record was put in.
    """

    format: str
    count: int
    seed: int
    lines: int
    staged: int
    loaded: int
    duplicate: int
    conflict: int
    rejected: int
    rejects_by_reason: dict[str, int]
    sanitised: int
    naive_times: int
    times_differ: int
    unknown_properties: dict[str, int]
    first_at: str | None
    last_at: str | None
    months: list[MonthCount]
    files: list[FileFacts]
    planted: dict[str, int] = field(default_factory=dict)
    skipped: int = 0
    out_of_window: int = 0
    derived: int = 0
    people: int = 0  # distinct persons, for formats that tell them by identifiers
