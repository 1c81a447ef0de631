"""What a worker of a Dask cluster must agree on with the run it works for: version, secret, what it sees."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from hindcast.plan import Plan, fingerprint_secret, load_plan
from hindcast.settings import Settings, load_settings
from hindcast.storage import is_s3


@dataclass(frozen=True)
class Terms:
    """What a run asks of every worker; small, and holds no secret.

    `probe` is a file that is in the staging folder while the run is at work. `folder` is where the plan is staged,
    once there is one: the worker must see the plan's export.
    """

    version: str
    secret: str | None
    probe: str
    folder: str | None = None


def make_terms(settings: Settings, probe: Path) -> Terms:
    """The terms of this process."""
    return Terms(version("hindcast"), fingerprint_secret(settings), str(probe))


def find_fault(terms: Terms) -> str | None:
    """Why this process may not do a call under these terms, and what to do; None when it may. Runs in a worker."""
    return next(_list_faults(terms, load_settings()), None)


def _list_faults(terms: Terms, settings: Settings) -> Iterator[str]:
    if terms.version != _own_version():
        yield f"has Hindcast {_own_version()}, not {terms.version}: install the same"
    if terms.secret != fingerprint_secret(settings):
        yield "has another HINDCAST_PII_SECRET (or none) in its environment"
    if not Path(terms.probe).exists():
        yield f"does not see {Path(terms.probe).parent}: mount HINDCAST_HOME there, too"
    if terms.folder:
        yield from _list_unseen(load_plan(Path(terms.folder)))


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


@lru_cache(maxsize=1)  # reading it takes a millisecond
def _own_version() -> str:
    return version("hindcast")
