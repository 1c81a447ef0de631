"""Clients of the capture endpoint: they send events with a large value until they are told to stop."""

import contextlib
import hashlib
import json
import random
import threading
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import httpx

from bench.llm_checks import Values

HEAD: Final = (
    '--edge\r\nContent-Disposition: form-data; name="event"\r\nContent-Type: application/json\r\n\r\n{event}\r\n'
    '--edge\r\nContent-Disposition: form-data; name="event.properties.$ai_input"\r\nContent-Type: text/plain\r\n\r\n'
)


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
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "multipart/form-data; boundary=edge"}
        with httpx.Client(timeout=10) as client:
            while not is_over.is_set():
                uuid = str(UUID(int=drawn.getrandbits(128)))
                value = drawn.randbytes(drawn.randrange(5_000, 200_000)).hex()
                fields: dict[str, Any] = {"event": "$ai_generation", "distinct_id": "u", "uuid": uuid}
                fields |= {"timestamp": "2026-01-02T03:04:05Z", "properties": {"$ai_model": "m"}}
                body = HEAD.format(event=json.dumps(fields)) + value + "\r\n--edge--\r\n"
                self.sent[uuid, "$ai_input"] = {hashlib.sha256(value.encode()).hexdigest()}
                with contextlib.suppress(httpx.HTTPError):
                    if client.post(self.endpoint, content=body.encode(), headers=headers).status_code == 200:
                        self.answered.add(uuid)
                is_over.wait(0.05)
