"""Every setting, its environment variable, default and meaning. Read when asked for, never at import time."""

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from hindcast.errors import ConfigurationError


class Settings(BaseSettings):
    """Settings from the environment and `.env`; `HINDCAST_` is the prefix unless a field names its own variable."""

    model_config = SettingsConfigDict(
        env_prefix="HINDCAST_", env_file=".env", extra="ignore", populate_by_name=True, frozen=True
    )

    home: Path = Field(Path(".hindcast"), description="holds the embedded database, staging, reports, archives")
    database_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("DATABASE_URL", "database_url"),
        description="the target; when absent the embedded PostgreSQL in HINDCAST_HOME is started and used",
    )
    embedded_version: Annotated[int, Field(ge=16, le=18)] = Field(
        18, description="major version of a new embedded PostgreSQL: 16 or 18"
    )
    pool_size: Annotated[int, Field(ge=1, le=64)] = Field(
        2,
        validation_alias=AliasChoices("ANALYTICS_IMPORT_POOL_SIZE", "HINDCAST_POOL_SIZE", "pool_size"),
        description="connections that load at once",
    )
    chunk_size: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        10_000,
        validation_alias=AliasChoices("ANALYTICS_IMPORT_CHUNK_SIZE", "HINDCAST_CHUNK_SIZE", "chunk_size"),
        description="records a chunk: one transaction",
    )
    workers: Annotated[int, Field(ge=0, le=256)] = Field(0, description="processes that decode; 0 = one a core")
    prefect_minutes: Annotated[float, Field(ge=0, le=1440)] = Field(
        10,
        description="minutes that Prefect's server stays after a command, so that the next begins sooner; 0 = none",
    )
    dask_address: str = Field(
        "", description="scheduler of a Dask cluster, such as tcp://host:8786, whose workers decode, load and verify"
    )
    dask_workers: Annotated[int, Field(ge=0, le=256)] = Field(
        0, description="workers of a temporary Dask cluster on this machine, to try it; 0 = none"
    )
    staging: str = Field(
        "", description="s3://bucket/prefix for staged chunks, for hosts without a shared folder; empty = HINDCAST_HOME"
    )
    segment_bytes: Annotated[int, Field(ge=1024)] = Field(
        48 * 1024 * 1024, description="plain files are decoded in byte ranges of this size, in parallel"
    )
    max_decompression_ratio: Annotated[float, Field(ge=1)] = Field(
        1100.0, description="an archive member that inflates by more than this (beyond 64 MiB) is refused"
    )
    max_member_bytes: Annotated[int, Field(ge=1)] = Field(
        1 << 40, description="an archive member that inflates to more bytes than this is refused"
    )
    reject_share_limit: Annotated[float, Field(ge=0, le=1)] = Field(
        0.01, description="share of rejected records over which the export gate fails"
    )
    gate_batch_rows: Annotated[int, Field(ge=1)] = Field(
        250_000, description="staged events a gate batch; smaller batches cost more a row"
    )
    inbox: str = Field("", description="folder or s3:// prefix where exports arrive, for the nightly deployment")
    expectations_dir: Path | None = Field(None, description="suites of your own, instead of the shipped ones")
    spot_checks: Annotated[int, Field(ge=0, le=100_000)] = Field(
        200, description="records re-read from the export's own bytes after the load"
    )
    amplitude_api_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("AMPLITUDE_API_KEY", "amplitude_api_key"),
        description="key of the Amplitude project to fetch from or to send test events to; never written anywhere",
    )
    amplitude_secret_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("AMPLITUDE_SECRET_KEY", "amplitude_secret_key"),
        description="its secret, for the Export API",
    )
    amplitude_cluster: Literal["us", "eu"] = Field(
        "us",
        validation_alias=AliasChoices("AMPLITUDE_CLUSTER", "amplitude_cluster"),
        description="where the project is: us or eu",
    )
    amplitude_start_time: str = Field(
        "",
        validation_alias=AliasChoices("AMPLITUDE_START_TIME", "amplitude_start_time"),
        description="start of generated or fetched history, when no --start is given",
    )
    amplitude_end_time: str = Field(
        "",
        validation_alias=AliasChoices("AMPLITUDE_END_TIME", "amplitude_end_time"),
        description="end of generated or fetched history, when no --end is given",
    )
    amplitude_export_url: str = Field(
        "", description="where exports are fetched from instead of Amplitude itself: https, or http on this machine"
    )
    amplitude_server_url: str = Field("", description="where test events are sent instead of to Amplitude itself")
    deliver_api_key: SecretStr | None = Field(
        None, description="sent as X-API-Key by `hindcast deliver`; never written anywhere"
    )
    kernel: Literal["auto", "off"] = Field(
        "auto", description="auto: the compiled kernel decodes and compares where it was compiled; off: Python does"
    )
    operator: str = Field("", description="initials of whoever runs this, for the ledger and the health report")
    health_report: Path | None = Field(
        None,
        description="server_health_report.json to add an entry to; default HINDCAST_HOME/server_health_report.json",
    )
    dashboard_url: str | None = Field(
        None,
        description="fetched after the load to show that the dashboard answers, such as /api/admin/analytics",
    )
    pii_secret: SecretStr | None = Field(
        None, description="key for the hashes that replace personal values; without it they are plain SHA-256"
    )
    archive: str | None = Field(
        None,
        description="folder or s3://bucket/prefix for archives of rolled back rows; default HINDCAST_HOME/archives",
    )
    prune_chunk_rows: Annotated[int, Field(ge=1, le=100_000)] = Field(
        10_000, description="rows a transaction of rollback and restore"
    )
    lock_timeout_ms: Annotated[int, Field(ge=0)] = Field(5_000, description="longest wait for a lock in the target")
    statement_timeout_ms: Annotated[int, Field(ge=0)] = Field(
        600_000, description="longest single statement in the target"
    )
    keep_exports: str = Field(
        "", description="folder or s3://bucket/prefix where the files of a successful run are kept; empty = not kept"
    )
    governor: Literal["on", "off"] = Field("on", description="on: the load slows down when a limit below is crossed")
    governor_sample_seconds: Annotated[float, Field(ge=0.1, le=60)] = Field(
        1.0, description="how often the governor looks"
    )
    governor_hold_seconds: Annotated[float, Field(ge=1, le=86_400)] = Field(
        300.0, description="longest hold; after it the load goes on at its lowest pace, whatever the signals say"
    )
    max_rows_per_second: Annotated[float, Field(ge=0)] = Field(
        0.0, description="ceiling of the load in records a second, governor or not; 0 = none"
    )
    max_bytes_per_second: Annotated[float, Field(ge=0)] = Field(
        0.0, description="ceiling of the load in bytes of the export a second, governor or not; 0 = none"
    )
    max_wal_mb_per_second: Annotated[float, Field(ge=0)] = Field(
        128.0, description="limit of the write-ahead log's growth, whole server, in MB (10^6 bytes) a second; 0 = off"
    )
    max_replication_lag_seconds: Annotated[float, Field(ge=0)] = Field(
        10.0, description="limit of the slowest standby's lag; 0 = off"
    )
    max_replication_backlog_mb: Annotated[float, Field(ge=0)] = Field(
        512.0, description="limit of the log the slowest standby has not applied, in MB; 0 = off"
    )
    max_blocked_seconds: Annotated[float, Field(ge=0)] = Field(
        0.5, description="longest that another session may wait for a lock of ours; 0 = off"
    )
    max_lock_waits: Annotated[float, Field(ge=0)] = Field(
        5.0, description="limit of other sessions waiting for any lock; 0 = off"
    )
    canary_limit_ms: Annotated[float, Field(ge=0)] = Field(
        25.0, description="limit of the canary query's p95, at least; 0 = off"
    )
    canary_limit_factor: Annotated[float, Field(ge=1)] = Field(
        5.0, description="the canary's limit is at least this many times what it took before the load"
    )
    canary_query: str = Field(
        "", description="the canary: a SELECT of your own; empty = a lookup in analytics_events by its primary key"
    )

    object_store: Literal["auto", "s3", "local"] = Field(
        "auto", description="where large values go; auto: S3 when LLMA_S3_BUCKET is set, else HINDCAST_HOME/objects"
    )
    llma_s3_bucket: str = Field(
        "",
        validation_alias=AliasChoices("LLMA_S3_BUCKET", "llma_s3_bucket"),
        description="bucket of large values of LLM events; locally a folder, `llma` when empty",
    )
    llm_inline_bytes: Annotated[int, Field(ge=256, le=1_048_576)] = Field(
        4_096, description="a longer value of an imported LLM event goes to the object store"
    )
    capture_tokens: SecretStr | None = Field(
        None, description="project tokens that may capture, with commas between, besides those in the database"
    )

    llma_test_mode: Literal["local", "production"] = Field(
        "local",
        validation_alias=AliasChoices("LLMA_TEST_MODE", "llma_test_mode"),
        description="mode of `hindcast acceptance` when no --mode is given",
    )
    llma_team_id: str = Field(
        "",
        validation_alias=AliasChoices("LLMA_TEAM_ID", "llma_team_id"),
        description="acceptance, production mode: whose objects are read; default: the team of POSTHOG_PROJECT_API_KEY",
    )
    capture_endpoint: str = Field(
        "",
        validation_alias=AliasChoices("CAPTURE_ENDPOINT", "capture_endpoint"),
        description="acceptance: the endpoint to look at; empty in local mode = one of its own is started",
    )
    posthog_host: str = Field(
        "",
        validation_alias=AliasChoices("POSTHOG_HOST", "posthog_host"),
        description="acceptance, production mode: where the query API is, such as https://us.posthog.com",
    )
    posthog_project_id: str = Field(
        "",
        validation_alias=AliasChoices("POSTHOG_PROJECT_ID", "posthog_project_id"),
        description="acceptance, production mode: the project's number",
    )
    posthog_api_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("POSTHOG_API_KEY", "posthog_api_key"),
        description="acceptance, production mode: a personal key (phx_…) that may read queries",
    )
    posthog_project_api_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("POSTHOG_PROJECT_API_KEY", "posthog_project_api_key"),
        description="acceptance, production mode: the project token (phc_…); only its team is used",
    )
    acceptance_events: Annotated[int, Field(ge=1, le=1_000)] = Field(
        20, description="acceptance, production mode: the latest so many events are looked at"
    )
    acceptance_days: Annotated[int, Field(ge=1, le=3_650)] = Field(
        7, description="acceptance, production mode: how old they may be"
    )
    acceptance_delay_seconds: Annotated[float, Field(ge=0, le=60)] = Field(
        0.2, description="acceptance, production mode: pause between requests"
    )
    acceptance_largest_download: Annotated[int, Field(ge=1)] = Field(
        1024 * 1024, description="acceptance, production mode: values of more bytes are not downloaded"
    )

    @field_validator("staging")
    @classmethod
    def _check_staging(cls, value: str) -> str:
        if value and not re.fullmatch(r"s3://[^/]+(/[^/]+)*/?", value):
            raise ValueError("expected s3://bucket or s3://bucket/prefix, or nothing for HINDCAST_HOME/staging")
        return value.rstrip("/")

    @property
    def staging_dir(self) -> Path:
        """Where staged chunks live, one folder a plan."""
        return self.home / "staging"

    @property
    def reports_dir(self) -> Path:
        """Where reports are written, one folder a run."""
        return self.home / "reports"


def load_settings() -> Settings:
    """Read the settings; raises ConfigurationError naming the variable and the fault.

    The same environment, folder and `.env` give the same object: workers ask for every task.
    """
    try:
        found = os.stat(".env")  # noqa: PTH116  # of small chunks, each asks some twenty times
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
    except OSError:
        stamp = None
    # CPython's own dictionary, where there is one: to decode a hundred variables takes longer than all the rest.
    variables = getattr(os.environ, "_data", os.environ)
    return _read_settings(tuple(variables.items()), os.getcwd(), stamp)  # noqa: PTH109


@lru_cache(maxsize=1)  # reading them takes ten milliseconds
def _read_settings(environment: tuple[object, ...], folder: str, stamp: tuple[int, int, int] | None) -> Settings:
    try:
        settings = Settings()  # type: ignore[call-arg]  # every field has a default; mypy reads Field(...) as required
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"])
        prefix = (
            str(Settings.model_config["env_prefix"]) if name in Settings.model_fields else ""
        )  # else its whole name
        name = (prefix + name).upper()
        raise ConfigurationError(f"setting {name}: {first['msg']} (got {str(first['input'])[:60]!r})") from None
    return settings.model_copy(update={"home": Path(folder) / settings.home})
