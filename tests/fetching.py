"""What the tests of fetching share: a stand-in, an inbox, and a fetch whose clock and waits are the test's."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from export_stand_in import KEY, SECRET, StandIn

from hindcast.fetch import Order, Summary, fetch
from hindcast.fetch_api import ExportApi, Patience
from hindcast.settings import Settings

DAY = datetime(2024, 1, 31, tzinfo=UTC)
LONG_AFTER = DAY + timedelta(days=30)
FOLDER = "amplitude-us-2024-01-31"


class Fetcher:
    """Fetches from a stand-in. `waits` and `notices` are what it slept and said."""

    def __init__(self, stand_in: StandIn, inbox: Path) -> None:
        self.stand_in, self.inbox = stand_in, inbox
        self.now = LONG_AFTER
        self.patience = Patience(attempts=4, read_timeout=20)
        self.waits: list[float] = []
        self.notices: list[str] = []

    def settings(self, **others: Any) -> Settings:
        values = {"amplitude_api_key": KEY, "amplitude_secret_key": SECRET, "amplitude_export_url": self.stand_in.url}
        return Settings(**values | others)

    def api(self, **others: Any) -> ExportApi:
        api = ExportApi(self.settings(**others), "us", self.patience, self.notices.append)
        api.sleep = self.waits.append
        return api

    def fetch(self, first: int = 0, hours: int = 24, api: ExportApi | None = None, **others: Any) -> Summary:
        """Fetch so many hours from an hour of DAY on."""
        start = DAY + timedelta(hours=first)
        order = Order(
            **{"inbox": str(self.inbox), "start": start, "end": start + timedelta(hours=hours), "name": "us"} | others
        )
        with api or self.api() as used:
            return fetch(order, used, lambda: self.now)

    def asked(self) -> list[str]:
        """What was asked for since the last look."""
        asked, self.stand_in.asked = self.stand_in.asked, []
        return asked

    def files(self) -> dict[str, bytes]:
        """Every zip below the inbox by its path there."""
        return {path.relative_to(self.inbox).as_posix(): path.read_bytes() for path in self.inbox.rglob("*.zip")}
