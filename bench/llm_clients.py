"""Clients of the capture endpoint: they send events with a large value until they are told to stop."""

import contextlib
import hashlib
import random
import threading
from dataclasses import dataclass
from uuid import UUID

import httpx

from bench.llm_checks import Values
from hindcast.acceptance.payloads import TEXT, Payload
from hindcast.acceptance.request import build_request


@dataclass(frozen=True)
class Client:
    """Sends events; notes each one's value before it is sent, and its uuid when it was answered with 200."""

    endpoint: str
    token: str
    seed: int
    sent: Values
    answered: set[str]

    def send_until(self, is_over: threading.Event) -> None:
        """Send one event after the other, whatever the answers are."""
        drawn = random.Random(self.seed)
        with httpx.Client(timeout=10) as client:
            while not is_over.is_set():
                uuid = str(UUID(int=drawn.getrandbits(128)))
                value = drawn.randbytes(drawn.randrange(5_000, 200_000)).hex()
                request = build_request(payloads={"$ai_input": Payload(value.encode(), TEXT)}, uuid=uuid)
                self.sent[uuid, "$ai_input"] = {hashlib.sha256(value.encode()).hexdigest()}
                with contextlib.suppress(httpx.HTTPError):
                    headers = {"Authorization": f"Bearer {self.token}"} | request.headers()
                    if client.post(self.endpoint, content=request.body(), headers=headers).status_code == 200:
                        self.answered.add(uuid)
                is_over.wait(0.05)
