"""The plan: what is to be imported and how. Its hash is the run's identity: the same plan resumes the same run."""

import hashlib
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from hindcast.canonical import encode_value
from hindcast.errors import ConfigurationError, ExportError
from hindcast.event import IDENTITY_VERSION
from hindcast.export import DAMAGE, Bounds, Part, find_parts, open_part
from hindcast.formats import detect_format, find_format
from hindcast.formats.base import read_options
from hindcast.objects.store import bucket_of
from hindcast.part_records import iter_records
from hindcast.settings import Settings
from hindcast.staging import EVENTS_SUFFIX
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
    path = folder / "plan.json"
    if path.exists():
        earlier = load_plan(folder)
        plan = msgspec.structs.replace(plan, latest=earlier.latest)
        if plan == earlier:
            return plan
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / "plan.json.new"
    aside.write_bytes(msgspec.json.encode(plan))
    aside.rename(path)
    return plan


def load_plan(folder: Path) -> Plan:
    """Read the plan of a staging folder; raises ExportError when there is none."""
    try:
        return msgspec.json.decode((folder / "plan.json").read_bytes(), type=Plan)
    except FileNotFoundError:
        raise ExportError(f"{folder}: holds no staged export any more; run the backfill again to stage it") from None


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
