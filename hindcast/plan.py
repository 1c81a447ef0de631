"""The plan: what is to be imported and how. Its hash is the run's identity: the same plan resumes the same run."""

import fcntl
import hashlib
import os
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from hindcast.canonical import encode_value
from hindcast.derived_staging import SUFFIX
from hindcast.errors import ConfigurationError, ExportError
from hindcast.event import IDENTITY_VERSION
from hindcast.export import DAMAGE, Bounds, Part, find_parts, open_part
from hindcast.fingerprints import file_state
from hindcast.formats import detect_format, find_format
from hindcast.formats.base import read_options
from hindcast.objects.store import bucket_of
from hindcast.part_records import iter_records
from hindcast.settings import Settings
from hindcast.staged_files import is_kept, keep_first, keep_staged, read_kept
from hindcast.staging import EVENTS_SUFFIX, SEALED_FILES
from hindcast.times import FUTURE_TOLERANCE
from hindcast.window import parse_window

DETECTION_RECORDS = 20
LINE_LIMITS = {"llm_analytics": 40 * 1024 * 1024}
DEFAULT_LINE_LIMIT = 16 * 1024 * 1024
CONFLICT_POLICIES = ("keep", "replace", "fail")


@dataclass(frozen=True)
class Request:
    """What a person asked for, as given: the parameters of a backfill."""

    file: str
    format: str | None = None
    dataset: str | None = None
    window: str | None = None
    chunk: int | None = None
    limit: int | None = None
    on_conflict: str = "keep"
    tenant: str = ""
    options: dict[str, str] = field(default_factory=dict)
    operator: str | None = None
    dry_run: bool = False
    plan: bool = False
    strict: bool = False
    new_run: bool = False


class Plan(msgspec.Struct, frozen=True):
    """A request made definite: parts fingerprinted, format known, numbers settled."""

    file: str
    dataset: str
    format: str
    format_evidence: str
    parts: list[Part]
    start: datetime | None
    end: datetime | None
    chunk_size: int
    limit: int | None
    on_conflict: str
    tenant: str
    options: dict[str, bool]
    segment_bytes: int
    max_line_bytes: int
    latest: datetime
    plan_hash: str
    bucket: str = "llma"  # these two are of LLM events only
    inline_bytes: int = 4_096

    @property
    def folder_name(self) -> str:
        """The plan's folder below the staging folder."""
        return f"{self.dataset}-{self.plan_hash[:16]}"


def make_plan(request: Request, settings: Settings, now: datetime) -> Plan:
    """Find the parts, detect the format, settle every number. Reads only the first records of the export."""
    if request.on_conflict not in CONFLICT_POLICIES:
        raise ConfigurationError(f"--on-conflict {request.on_conflict!r}: expected {', '.join(CONFLICT_POLICIES)}")
    window = parse_window(request.window)
    if request.format:
        find_format(request.format)
    parts = find_parts(request.file)
    if request.format:
        name, evidence = request.format, "named by --format"
    else:
        name, evidence = detect_format(_read_first(parts, settings))
    options = read_options(request.options, find_format(name).OPTIONS)
    dataset = request.dataset or name
    if not dataset.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise ConfigurationError(f"--dataset {dataset!r}: expected letters, digits, dot, dash and underscore")
    facts: dict[str, Any] = {
        "dataset": dataset,
        "format": name,
        "parts": [asdict(part) | {"location": None} for part in parts],
        "window": window.isoformat(),
        "chunk_size": request.chunk or settings.chunk_size,
        "limit": request.limit,
        "on_conflict": request.on_conflict,
        "tenant": request.tenant,
        "options": options,
        "segment_bytes": settings.segment_bytes,
        "identity_version": IDENTITY_VERSION,
        "staged_as": EVENTS_SUFFIX,
        "pii_key": fingerprint_secret(settings),
    }
    if hasattr(find_format(name), "derive"):
        facts["derived_as"] = SUFFIX
    if name == "llm_analytics":
        facts |= {"bucket": bucket_of(settings), "inline_bytes": settings.llm_inline_bytes}
    return Plan(
        file=request.file,
        dataset=dataset,
        format=name,
        format_evidence=evidence,
        parts=parts,
        start=window.start,
        end=window.end,
        chunk_size=facts["chunk_size"],
        limit=request.limit,
        on_conflict=request.on_conflict,
        tenant=request.tenant,
        options=options,
        segment_bytes=settings.segment_bytes,
        max_line_bytes=LINE_LIMITS.get(name, DEFAULT_LINE_LIMIT),
        latest=now + FUTURE_TOLERANCE,
        plan_hash=hashlib.sha256(encode_value(facts)).hexdigest(),
        bucket=bucket_of(settings),
        inline_bytes=settings.llm_inline_bytes,
    )


def save_plan(plan: Plan, folder: Path) -> Plan:
    """Write the plan into its folder; with the `latest` of an earlier attempt there, whose export may have moved."""
    is_known = follow_plan(folder)
    path = folder / "plan.json"
    earlier = load_plan(folder) if path.exists() else plan
    plan = msgspec.structs.replace(plan, latest=earlier.latest)
    if path.exists() and plan == earlier and (is_known or not is_kept()):
        return plan
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / "plan.json.new"
    aside.write_bytes(msgspec.json.encode(plan))
    if is_known:
        keep_staged(aside, path.name)
    elif is_kept() and not keep_first(aside, path.name):  # another host was first
        return save_plan(plan, folder)
    aside.rename(path)
    return plan


def follow_plan(folder: Path) -> bool:
    """Make this host's copy of a staging folder one of the plan that is on S3; False when there is none.

    Files staged for an earlier plan, with another `latest`, are removed here.
    """
    found = read_kept(folder / "plan.json")
    if found is None:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:  # workers of this host may come at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = folder / "plan.json"
        if not path.exists() or path.read_bytes() != found:
            if not path.exists() or load_plan(folder).latest != msgspec.json.decode(found, type=Plan).latest:
                for stale in (*folder.glob("segment-*"), *(folder / name for name in SEALED_FILES)):
                    stale.unlink(missing_ok=True)
            aside = folder / f"plan.json.fetched-{os.getpid()}"
            aside.write_bytes(found)
            aside.rename(path)
    return True


def load_plan(folder: Path) -> Plan:
    """Read the plan of a staging folder; raises ExportError when there is none."""
    path = folder / "plan.json"
    if is_kept() and not path.exists():
        follow_plan(folder)
    try:
        return _decode_plan(path, file_state(path.stat()))
    except FileNotFoundError:
        raise ExportError(f"{folder}: holds no staged export any more; run the backfill again to stage it") from None


@lru_cache(maxsize=2)
def _decode_plan(path: Path, state: tuple[int, ...]) -> Plan:
    # An export of thousands of files has each of them in its plan, and each of them asks for the plan.
    return msgspec.json.decode(path.read_bytes(), type=Plan)


def check_unchanged(plan: Plan) -> None:
    """Raise ExportError when a part is not what it was when the plan was made."""
    now = {part.name: part.fingerprint for part in find_parts(plan.file)}
    for part in plan.parts:
        if now.get(part.name) != part.fingerprint:
            found = now.get(part.name, "nothing")
            raise ExportError(
                f"{part.name}: changed while it was being read ({part.fingerprint[:23]}… before, {found[:23]}… now); "
                "wait until it is complete and run again"
            )


def fingerprint_secret(settings: Settings) -> str | None:
    """Changes with the key, so that no run mixes two; ends up inside the plan's hash only."""
    if settings.pii_secret is None:
        return None
    return hashlib.sha256(b"hindcast plan" + settings.pii_secret.get_secret_value().encode()).hexdigest()


def _read_first(parts: list[Part], settings: Settings) -> list[bytes]:
    bounds = Bounds(settings.max_decompression_ratio, settings.max_member_bytes)
    records: list[bytes] = []
    for part in parts:
        try:
            with open_part(part, 0, bounds) as stream:
                found = iter_records(part, stream, DEFAULT_LINE_LIMIT)
                records.extend(r.raw for r in islice(found, DETECTION_RECORDS - len(records)))
        except DAMAGE:
            continue
        if len(records) >= DETECTION_RECORDS:
            break
    if not records:
        raise ExportError("the export holds no records: nothing to detect the format from; name it with --format")
    return records
