"""Clients of the capture endpoint: they send events with a large value until they are told to stop."""

import hashlib
import json
import random
import threading
from typing import Any, Final
from uuid import UUID

import httpx

HEAD: Final = (
    '--edge\r\nContent-Disposition: form-data; name="event"\r\nContent-Type: application/json\r\n\r\n{event}\r\n'
    '--edge\r\nContent-Disposition: form-data; name="event.properties.$ai_input"\r\nContent-Type: text/plain\r\n\r\n'
)


def send_events(endpoint: str, token: str, seed: int, answered: dict[str, str], is_over: threading.Event) -> None:
    """Send until it is over; notes the sha256 of the value of each event that was answered with 200, by its uuid."""
    drawn = random.Random(seed)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "multipart/form-data; boundary=edge"}
    with httpx.Client(timeout=10) as client:
        while not is_over.is_set():
            uuid, value = str(UUID(int=drawn.getrandbits(128))), drawn.randbytes(drawn.randrange(5_000, 200_000)).hex()
            fields: dict[str, Any] = {"event": "$ai_generation", "distinct_id": "u", "uuid": uuid}
            fields |= {"timestamp": "2026-01-02T03:04:05Z", "properties": {"$ai_model": "m"}}
            body = HEAD.format(event=json.dumps(fields)) + value + "\r\n--edge--\r\n"
            try:
                if client.post(endpoint, content=body.encode(), headers=headers).status_code == 200:
                    answered[uuid] = hashlib.sha256(value.encode()).hexdigest()
            except httpx.HTTPError:
                pass
            is_over.wait(0.05)
