"""What a worker of a Dask cluster must agree on with the run it works for: version, secret, what it sees."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from hindcast.errors import ConfigurationError, HindcastError
from hindcast.objects.store import bucket_of, is_on_s3
from hindcast.plan import Plan, fingerprint_secret, follow_plan, load_plan
from hindcast.settings import Settings, load_settings
from hindcast.staged_files import local_folder
from hindcast.storage import is_s3


@dataclass(frozen=True)
class Terms:
    """What a run asks of every worker; small, and holds no secret.

    `probe` is a file that is in the staging folder while the run is at work. `folder` is where the plan is staged,
    once there is one: the worker must see the plan's export. `bounds` are those an archive may inflate to, `objects`
    is where large values are kept.
    """

    version: str
    secret: str | None
    bounds: tuple[float, int]
    objects: str
    staging: str
    probe: str
    folder: str | None = None


class WorkerDiffers(ConfigurationError):
    """A worker may not do a call: it did nothing of it."""

    def __init__(self, worker: str, fault: str) -> None:
        super().__init__(worker, fault)
        self.worker, self.fault = worker, fault

    def __str__(self) -> str:
        return f"Dask worker {self.worker}: {self.fault}"


def make_terms(settings: Settings, probe: Path) -> Terms:
    """The terms of this process."""
    return Terms(
        _own_version(),
        fingerprint_secret(settings),
        _bounds(settings),
        _objects(settings),
        settings.staging,
        str(probe),
    )


def find_fault(terms: Terms) -> str | None:
    """Why this process may not do a call under these terms, and what to do; None when it may. Runs in a worker."""
    try:
        return next(_list_faults(terms, load_settings()), None)
    except HindcastError as error:  # such as settings that are wrong, or a store that does not let it in
        return str(error)


@lru_cache(maxsize=8)
def find_fault_once(terms: Terms) -> str | None:
    """What `find_fault` finds, looked for once a process: asked before every call."""
    return find_fault(terms)


def _list_faults(terms: Terms, settings: Settings) -> Iterator[str]:
    if terms.version != _own_version():
        yield f"has Hindcast {_own_version()}, not {terms.version}: install the same"
    if terms.secret != fingerprint_secret(settings):
        yield "has another HINDCAST_PII_SECRET (or none) in its environment"
    if terms.bounds != _bounds(settings):
        yield "has another HINDCAST_MAX_DECOMPRESSION_RATIO or HINDCAST_MAX_MEMBER_BYTES in its environment"
    if terms.staging != settings.staging:
        yield f"has HINDCAST_STAGING {settings.staging!r}, not {terms.staging!r}: set the same on every host"
    if not terms.staging and not Path(terms.probe).exists():
        yield f"does not see {Path(terms.probe).parent}: mount HINDCAST_HOME there, too"
    if terms.folder:
        folder = local_folder(terms.folder)
        follow_plan(folder)
        plan = load_plan(folder)
        if plan.format == "llm_analytics" and terms.staging and not is_on_s3(settings):
            yield "would keep large values on its own disk: with HINDCAST_STAGING on S3 set LLMA_S3_BUCKET, too"
        if plan.format == "llm_analytics" and terms.objects != _objects(settings):
            yield f"keeps large values in {_objects(settings)}, not {terms.objects}: set LLMA_S3_BUCKET for all hosts"
        yield from _list_unseen(plan)


def _list_unseen(plan: Plan) -> Iterator[str]:
    advice = "put the export into a folder that all hosts mount at the same path, or on s3://"
    for part in plan.parts:
        if is_s3(part.location):
            continue
        try:
            size = Path(part.location).stat().st_size
        except OSError as error:
            yield f"does not see the export's {part.location} ({error.strerror}): {advice}"
            continue
        if part.member is None and size != part.size_bytes:
            yield f"sees {part.location} with {size:,} bytes, not {part.size_bytes:,}: {advice}"


def _bounds(settings: Settings) -> tuple[float, int]:
    return settings.max_decompression_ratio, settings.max_member_bytes


def _objects(settings: Settings) -> str:
    return f"s3://{bucket_of(settings)}" if is_on_s3(settings) else str(settings.home / "objects" / bucket_of(settings))


@lru_cache(maxsize=1)  # reading it takes a millisecond
def _own_version() -> str:
    return version("hindcast")
