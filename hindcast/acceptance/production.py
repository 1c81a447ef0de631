"""The stage of production mode: a query API and a store that are only read, one team, at a gentle pace."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property

import httpx
from pydantic import SecretStr

from hindcast.acceptance.events import QueryApi, StoredEvent
from hindcast.acceptance.guard import Pacer, ReadOnlyStore, make_reading_client, refuse_writing_operations
from hindcast.acceptance.references import read_references
from hindcast.errors import ConfigurationError
from hindcast.objects.keys import ObjectUrl
from hindcast.objects.s3 import Patience, S3Store, make_client
from hindcast.objects.teams import TeamReader, team_of
from hindcast.settings import Settings


@dataclass(frozen=True)
class Access:
    """What production mode needs of the settings, checked."""

    query_url: str
    key: str = field(repr=False)
    team: str
    bucket: str
    capture_url: str


class ProductionStage:
    """What is looked at: the latest events of one team, and their values. Nothing here can write."""

    def __init__(self, settings: Settings, access: Access, client: httpx.Client, store: ReadOnlyStore) -> None:
        self.settings, self.access, self.client, self.store = settings, access, client, store
        self.api = QueryApi(client, access.query_url, access.key, access.team)
        self.reader = TeamReader(store, access.team)

    @cached_property
    def events(self) -> list[StoredEvent]:
        """The latest events of the last days, asked for once."""
        since = datetime.now(UTC) - timedelta(days=self.settings.acceptance_days)
        return self.api.recent(since, self.settings.acceptance_events)

    @cached_property
    def referring(self) -> list[tuple[StoredEvent, Mapping[str, ObjectUrl]]]:
        """Those of them that have values elsewhere, with the references; raises CheckFailed for wrong ones."""
        return [(event, read_references(event)) for event in self.events if event.references]

    def describe(self) -> str:
        """The query API, the team, the bucket."""
        return f"{self.access.query_url}, team {self.access.team}, objects in s3://{self.access.bucket}, read-only"

    def clean_up(self) -> str:
        """Nothing to do: nothing could be made."""
        return "read-only: nothing was made"


@contextlib.contextmanager
def production_stage(settings: Settings) -> Iterator[ProductionStage]:
    """The stage that the settings name; raises ConfigurationError for what is missing, before anything is asked."""
    access = read_access(settings)
    pacer = Pacer(settings.acceptance_delay_seconds)
    s3 = S3Store(access.bucket, client=refuse_writing_operations(make_client(Patience())))
    store = ReadOnlyStore(s3, access.team, pacer, settings.acceptance_largest_download)
    with make_reading_client(access.query_url, pacer) as client:
        yield ProductionStage(settings, access, client, store)


def read_access(settings: Settings) -> Access:
    """Check the settings; raises ConfigurationError naming every variable that is missing."""
    key, token = _reveal(settings.posthog_api_key), _reveal(settings.posthog_project_api_key)
    needed = {
        "POSTHOG_HOST": settings.posthog_host,
        "POSTHOG_PROJECT_ID": settings.posthog_project_id,
        "POSTHOG_API_KEY": key,
        "LLMA_TEAM_ID or POSTHOG_PROJECT_API_KEY": settings.llma_team_id or token,
        "LLMA_S3_BUCKET": settings.llma_s3_bucket,
    }
    missing = [name for name, value in needed.items() if not value]
    if missing:
        raise ConfigurationError(f"production mode needs {', '.join(missing)}; see docs/acceptance.md")
    host = settings.posthog_host.rstrip("/")
    if not host.startswith(("https://", "http://")):
        raise ConfigurationError("POSTHOG_HOST: expected https://host")
    if not settings.posthog_project_id.isalnum():
        raise ConfigurationError("POSTHOG_PROJECT_ID: expected the project's number")
    return Access(
        f"{host}/api/projects/{settings.posthog_project_id}/query",
        key,
        settings.llma_team_id or team_of(token.strip()),
        settings.llma_s3_bucket,
        settings.capture_endpoint,
    )


def _reveal(secret: SecretStr | None) -> str:
    return secret.get_secret_value().strip() if secret else ""
