"""How fast requests go out: a rate of events, and pauses the server asks for, which hold for all."""

import asyncio
import random
import time


class Pace:
    """Gives each request its turn."""

    def __init__(self, events_per_second: float | None) -> None:
        self._rate = events_per_second
        self._next = 0.0
        self._held_until = 0.0

    async def turn(self, events: int) -> None:
        """Wait until a request of so many events may be sent."""
        now = time.monotonic()
        at = max(now, self._next) if self._rate else now
        if self._rate:
            self._next = at + events / self._rate
        await asyncio.sleep(max(at - now, 0))
        while (wait := self._held_until - time.monotonic()) > 0:
            await asyncio.sleep(wait * random.uniform(1.0, 1.1))  # not all at the same instant

    def hold(self, seconds: float) -> None:
        """Let nobody send for so long."""
        self._held_until = max(self._held_until, time.monotonic() + seconds)
