"""A Hindcast home for each test, with settings at their defaults whatever the caller's environment says."""

import os
from pathlib import Path

import pytest


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in os.environ:
        if name.startswith(("HINDCAST_", "ANALYTICS_IMPORT_", "AWS_")) or name == "DATABASE_URL":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)  # away from any .env
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))  # a relative one would no longer be right
    monkeypatch.setenv("HINDCAST_HOME", str(tmp_path / "home"))
    return tmp_path / "home"
