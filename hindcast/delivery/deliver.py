"""Deliver: replay an export's records to an HTTP ingestion API, several requests at once, memory flat."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from hindcast.delivery.client import Client, Target
from hindcast.delivery.journal import Journal, delivery_key
from hindcast.delivery.outcome import Item, Outcome
from hindcast.delivery.statistics import Statistics
from hindcast.errors import DeliveryError
from hindcast.export import DAMAGE, Bounds, Part, find_parts, open_part
from hindcast.part_records import iter_records
from hindcast.settings import Settings

LARGEST_BODY: Final = 10 * 1024 * 1024 - 1024  # the API's limit, less what surrounds a batch's events
LONGEST_RECORD: Final = 16 * 1024 * 1024
_END: Final[list[Item]] = []


@dataclass(frozen=True)
class DeliverySpec:
    """What to deliver, where to and how. `rate` is in events a second, `delay` seconds after each request."""

    file: str
    target: Target
    concurrency: int = 10
    batch_size: int = 1
    delay: float = 0.0
    rate: float | None = None
    limit: int | None = None
    journal: Path | None = None
    failed: Path | None = None
    is_fresh: bool = False
    progress: Callable[[int, int], None] = field(default=lambda done, total: None)


@dataclass(frozen=True)
class DeliveryFiles:
    """Where the journal and the failed records lie."""

    journal: Path
    failed: Path
    reasons: Path


def deliver(spec: DeliverySpec, settings: Settings) -> tuple[Statistics, DeliveryFiles]:
    """Deliver what was not acknowledged yet; returns what was done, and where what failed was written.

    Raises DeliveryError when the API refuses us or does not answer any more: the same command goes on.
    """
    parts = find_parts(spec.file)
    key = delivery_key(parts, spec.target.url)
    stem = spec.journal or settings.home / "deliveries" / f"{key[:16]}.journal"
    failed = spec.failed or stem.with_suffix(".failed.jsonl")
    files = DeliveryFiles(stem, failed, failed.with_name(f"{failed.name}.reasons.jsonl"))
    bounds = Bounds(settings.max_decompression_ratio, settings.max_member_bytes)
    journal = Journal(files.journal, key, spec.is_fresh)
    try:
        return asyncio.run(_Delivery(spec, parts, bounds, journal, files).run()), files
    finally:
        journal.close()


class _Delivery:
    """One delivery at work: a reader that fills a short queue, and workers that empty it."""

    def __init__(
        self, spec: DeliverySpec, parts: list[Part], bounds: Bounds, journal: Journal, files: DeliveryFiles
    ) -> None:
        self._spec, self._journal = spec, journal
        self._parts, self._bounds = parts, bounds
        self._files = files
        self.statistics = Statistics(acknowledged_before=0)
        self._total = 0

    async def run(self) -> Statistics:
        self._total = sum(1 for _ in self._records())
        statistics, spec = self.statistics, self._spec
        began = time.monotonic()
        queue: asyncio.Queue[list[Item]] = asyncio.Queue(spec.concurrency)
        self._files.failed.parent.mkdir(parents=True, exist_ok=True)
        with self._files.failed.open("wb") as self._failed, self._files.reasons.open("wb") as self._reasons:
            async with Client(spec.target, spec.rate, spec.concurrency, statistics) as client:
                workers = [asyncio.create_task(self._work(client, queue)) for _ in range(spec.concurrency)]
                reader = asyncio.create_task(self._read(queue))
                try:
                    await _all_or_first_error([reader, *workers])
                finally:
                    statistics.seconds = time.monotonic() - began
        return statistics

    def _records(self) -> Iterator[Item]:
        return islice(read_items(self._parts, self._bounds), self._spec.limit)

    async def _read(self, queue: "asyncio.Queue[list[Item]]") -> None:
        batch: list[Item] = []
        size = 0
        for item in self._records():
            self.statistics.records += 1
            if item.number in self._journal:
                self.statistics.acknowledged_before += 1
                continue
            if batch and (len(batch) >= self._spec.batch_size or size + len(item.raw) > LARGEST_BODY):
                await queue.put(batch)
                batch, size = [], 0
            batch.append(item)
            size += len(item.raw) + 1
        if batch:
            await queue.put(batch)
        for _ in range(self._spec.concurrency):
            await queue.put(_END)

    async def _work(self, client: Client, queue: "asyncio.Queue[list[Item]]") -> None:
        while (batch := await queue.get()) is not _END:
            for outcome in await client.send(batch):
                self._note(outcome)
            if self._spec.delay:
                await asyncio.sleep(self._spec.delay)

    def _note(self, outcome: Outcome) -> None:
        statistics, count = self.statistics, len(outcome.items)
        if outcome.reason is None:
            self._journal.add([item.number for item in outcome.items])
            if outcome.is_already_there:
                statistics.already_there += count
            else:
                statistics.delivered += count
        else:
            statistics.failed += count
            statistics.reasons[outcome.reason] += count
            for item in outcome.items:
                self._failed.write(item.raw + b"\n")
                why = {"part": item.part, "line": item.line, "reason": outcome.reason}
                self._reasons.write(msgspec.json.encode(why) + b"\n")
        done = statistics.delivered + statistics.already_there + statistics.failed + statistics.acknowledged_before
        self._spec.progress(done, self._total)


def read_items(parts: list[Part], bounds: Bounds) -> Iterator[Item]:
    """The records of an export in order, numbered from 0; raises DeliveryError for one that cannot be read."""
    number = 0
    for part in parts:
        if part.is_requests:
            raise DeliveryError(f"{part.name}: captured requests are not delivered; replay them with an HTTP client")
        try:
            with open_part(part, 0, bounds) as stream:
                for record in iter_records(part, stream, LONGEST_RECORD):
                    if record.fault:
                        raise DeliveryError(f"{part.name} line {record.number}: {record.fault.sentence}")
                    yield Item(number, part.name, record.number, record.raw)
                    number += 1
        except DAMAGE as error:
            raise DeliveryError(f"{part.name}: breaks off or is damaged ({error}); export it again") from None


def read_headers(pairs: Mapping[str, str], api_key: str | None) -> dict[str, str]:
    """The headers of every request."""
    headers = {"Content-Type": "application/json"} | dict(pairs)
    return headers | {"X-API-Key": api_key} if api_key else headers


async def _all_or_first_error(tasks: "list[asyncio.Task[None]]") -> None:
    """Wait for all; the first error ends the others."""
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError, DeliveryError):
                await task
