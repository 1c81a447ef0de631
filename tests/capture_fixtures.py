"""A capture endpoint as it is served: real uvicorn on loopback, a real database, a folder of objects."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from capturing import TOKEN, Capture

from hindcast.capture.app import create_app
from hindcast.objects.local import LocalStore
from hindcast.settings import Settings, load_settings


@pytest.fixture
def capture_settings(configured: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("HINDCAST_CAPTURE_TOKENS", TOKEN)
    return load_settings()


@pytest.fixture
def capture(configured: str, capture_settings: Settings, tmp_path: Path) -> Iterator[Capture]:
    """An endpoint that knows TOKEN."""
    store = LocalStore(tmp_path / "objects", "llma")
    config = uvicorn.Config(
        create_app(capture_settings, configured, store), host="127.0.0.1", port=0, log_config=None, lifespan="on"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        yield Capture(client, configured, store)
    server.should_exit = True
    thread.join()
