"""A capture endpoint as it is served: real uvicorn on loopback, a real database, a folder of objects."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from capturing import TOKEN, Capture

from hindcast.acceptance.endpoint import served_capture
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
    with (
        served_capture(capture_settings, configured, store) as address,
        httpx.Client(base_url=address, timeout=30) as client,
    ):
        yield Capture(client, configured, store)
