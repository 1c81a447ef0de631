"""The requests: sent with retries, split when a batch is refused, counted by their answers."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Final

import httpx
from tenacity import AsyncRetrying, RetryCallState, RetryError, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_random_exponential

from hindcast.delivery.outcome import Item, Outcome, read_answer
from hindcast.delivery.pacing import Pace
from hindcast.delivery.statistics import Statistics
from hindcast.errors import DeliveryError
from hindcast.formats.personal import redact
from hindcast.retry_after import read_retry_after

WHEREABOUTS: Final = frozenset({401, 403, 404, 405})  # it is the request that is wrong, whatever the record
LONGEST_WAIT: Final = 300.0  # seconds, whatever a Retry-After asks for
_JITTER: Final = wait_random_exponential(multiplier=0.2, max=20)


@dataclass(frozen=True)
class Target:
    """Where to, and how patiently; `batch_url` takes `{"events": [...]}`. Headers may hold a secret."""

    url: str
    batch_url: str | None = None
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    timeout: float = 30.0
    retries: int = 8


class _Again(Exception):
    """An answer after which the same request is sent again."""

    def __init__(self, what: str, retry_after: float | None = None) -> None:
        super().__init__(what)
        self.retry_after = retry_after


class Client:
    """Sends batches of records; safe to share among tasks."""

    def __init__(self, target: Target, rate: float | None, concurrency: int, statistics: Statistics) -> None:
        self._target, self._statistics = target, statistics
        self._pace = Pace(rate)
        self._most_unanswered = max(20, 3 * concurrency)
        self._unanswered = 0  # requests in a row that were given up
        # A connection a sender: httpx's pool looks through all of its connections and requests at each change.
        shared = httpx.create_ssl_context() if target.url.startswith("https") else False
        self._free = [
            httpx.AsyncClient(headers=target.headers, timeout=target.timeout, verify=shared) for _ in range(concurrency)
        ]
        self._all = tuple(self._free)

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for http in self._all:
            await http.aclose()

    async def send(self, items: list[Item]) -> list[Outcome]:
        """Send records in one request; one that is refused as a batch is sent in halves.

        Raises DeliveryError when the API refuses us, or has not answered for long.
        """
        try:
            answer = await self._send_with_retries(items)
        except RetryError as error:
            self._unanswered += 1
            why = str(error.last_attempt.exception())
            if self._unanswered >= self._most_unanswered:
                raise DeliveryError(
                    f"{self._target.url}: {self._unanswered} requests in a row were given up, the last: {why}; "
                    "nothing that was acknowledged is sent twice: run the same command to go on"
                ) from None
            return [Outcome(items, f"given up after {self._target.retries + 1} tries: {why}")]
        self._unanswered = 0
        if answer.is_success:
            return read_answer(items, answer.content)
        if len(items) > 1:
            half = len(items) // 2
            return [*await self.send(items[:half]), *await self.send(items[half:])]
        return [Outcome(items, f"{answer.status_code}: {redact(answer.text[:300])}")]

    async def _send_with_retries(self, items: list[Item]) -> httpx.Response:
        attempts = AsyncRetrying(
            stop=stop_after_attempt(self._target.retries + 1), wait=_wait, retry=retry_if_exception_type(_Again)
        )
        async for attempt in attempts:
            with attempt:
                self._statistics.retries += attempt.retry_state.attempt_number > 1
                return await self._send_once(items)
        raise AssertionError("the last attempt returns or raises")

    async def _send_once(self, items: list[Item]) -> httpx.Response:
        await self._pace.turn(len(items))
        is_batch = self._target.batch_url is not None
        body = b'{"events":[%s]}' % b",".join([item.raw for item in items]) if is_batch else items[0].raw
        http = self._free.pop()
        began = time.perf_counter()
        try:
            answer = await http.post(self._target.batch_url or self._target.url, content=body)
        except httpx.TimeoutException:
            self._count("timeout", began)
            raise _Again(f"no answer within {self._target.timeout:g} s") from None
        except httpx.TransportError as error:
            self._count("no connection", began)
            raise _Again(f"{type(error).__name__}: {error}") from None
        finally:
            self._free.append(http)
        self._count(str(answer.status_code), began)
        if answer.status_code == 429 or answer.status_code >= 500:
            wait = read_retry_after(answer.headers.get("Retry-After"), datetime.now(UTC))
            if wait is not None:
                self._pace.hold(min(wait, LONGEST_WAIT))
            raise _Again(f"{answer.status_code}: {redact(answer.text[:200])}", wait)
        if answer.status_code in WHEREABOUTS or answer.is_redirect:
            raise DeliveryError(
                f"{self._target.batch_url or self._target.url}: answers {answer.status_code}:"
                f" {redact(answer.text[:200])}; check the address and the key"
            )
        return answer

    def _count(self, answer: str, began: float) -> None:
        self._statistics.answers[answer] += 1
        self._statistics.latencies.append(time.perf_counter() - began)


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, _Again) else None
    return _JITTER(state) if asked is None else 0.0  # who was asked to wait does so with all others, in the pace
