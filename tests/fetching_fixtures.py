"""The fixture of the tests of fetching."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from export_stand_in import running_stand_in
from fetching import Fetcher


@pytest.fixture
def fetcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fetcher]:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with running_stand_in() as stand_in:
        yield Fetcher(stand_in, tmp_path / "inbox")
