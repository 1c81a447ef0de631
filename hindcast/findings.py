"""What a run found, step by step, and the report made of it. A step that did not happen leaves its place empty."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec

from hindcast.ledger import Counts, Run, iter_rejects
from hindcast.manifest import Manifest
from hindcast.measure import TargetFacts, join_days
from hindcast.plan import Plan, Request
from hindcast.process_age import process_age_seconds
from hindcast.repeat_conflicts import read_conflicts
from hindcast.rollups import RollupProof
from hindcast.times import format_utc
from hindcast.verify import Verification

SAMPLES_A_REASON: Final = 20
KEPT_CONFLICTS: Final = 100


@dataclass
class Findings:
    """Everything the report says. `gates` are the gates' results as plain dicts."""

    request: Request
    started_at: datetime
    is_dry_run: bool
    plan: Plan | None = None
    folder: Path | None = None
    manifest: Manifest | None = None
    run: Run | None = None
    counts: Counts | None = None
    gates: list[dict[str, Any]] = field(default_factory=list)
    rollups: list[RollupProof] = field(default_factory=list)
    verification: Verification | None = None
    comparison: dict[tuple[str, str], dict[str, int]] | None = None
    before: TargetFacts | None = None
    after: TargetFacts | None = None
    table_conflicts: list[dict[str, Any]] = field(default_factory=list)
    dashboard_queries: list[dict[str, Any]] = field(default_factory=list)
    dashboard: dict[str, Any] | None = None
    timings: dict[str, float] = field(default_factory=dict)
    preflight: list[dict[str, Any]] = field(default_factory=list)
    governor: dict[str, Any] | None = None
    kept: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None
    replaced: int = 0
    label: str = ""
    first_byte_at: float | None = None
    verified_at: float | None = None

    @property
    def name(self) -> str:
        """The name of the report's folder: the run's id, or the plan's and the time for a dry run."""
        if self.run:
            return f"{self.run.run_id}{self.label}"
        plan = self.plan.plan_hash[:12] if self.plan else "no-plan"
        kind = "dry-run" if self.is_dry_run else "no-run"
        return f"{kind}-{plan}-{self.started_at:%Y%m%dT%H%M%S}"


def begin(request: Request, is_dry_run: bool) -> Findings:
    """Findings of a run that begins now."""
    return Findings(request, datetime.now(UTC), is_dry_run)


@contextmanager
def timed(findings: Findings, step: str) -> Iterator[None]:
    """Add the time a step takes to the report's timings, also when it fails."""
    began = time.perf_counter()
    try:
        yield
    finally:
        findings.timings[step] = round(findings.timings.get(step, 0.0) + time.perf_counter() - began, 3)


def build_report(findings: Findings, status: str, report_path: Path) -> dict[str, Any]:
    """The report as one JSON object; its keys are what others script against."""
    request, plan = findings.request, findings.plan
    seconds = _seconds(findings)
    figures = _figures(findings)
    return {
        "run_id": str(findings.run.run_id) if findings.run else None,
        "status": status,
        "dataset": plan.dataset if plan else request.dataset,
        "format": plan.format if plan else request.format,
        "format_evidence": plan.format_evidence if plan else None,
        "dry_run": findings.is_dry_run,
        "plan": request.plan,
        "export": request.file,
        "operator": request.operator,
        "window": [format_utc(plan.start), format_utc(plan.end)] if plan and (plan.start or plan.end) else None,
        "tenant": request.tenant,
        "limit": request.limit,
        "attempts": findings.run.attempts if findings.run else None,
        "started_at": format_utc(findings.started_at),
        "finished_at": format_utc(datetime.now(UTC)),
        **figures,
        "months": _months(findings),
        "gates": findings.gates,
        "rollups": [
            asdict(proof) | {"status": "passed" if proof.is_proved else "failed"} for proof in findings.rollups
        ],
        "verification": _verification(findings.verification),
        "rejects_by_reason": _rejects_by_reason(findings),
        "conflicts": _conflicts(findings),
        "events_per_day": join_days(findings.before, findings.after) if findings.before and findings.after else [],
        "table": _table(findings),
        "dashboard_queries": findings.dashboard_queries,
        "dashboard": findings.dashboard,
        "parts": _parts(findings),
        "preflight": findings.preflight,
        "governor": findings.governor,
        "kept": findings.kept,
        "checked": _checked(findings),
        "not_checked": _not_checked(findings),
        "undo": _undo(findings),
        "error": findings.error,
        "seconds": seconds,
        "startup_seconds": _startup_seconds(findings),
        "events_per_second": round(figures["lines"] / seconds) if seconds and figures["lines"] else None,
        "timings": findings.timings,
        "report_path": str(report_path),
    }


def write_rejects(findings: Findings, path: Path) -> None:
    """Write every reject as a JSON line with its place, reason and redacted text."""
    if not findings.manifest or not findings.folder:
        return
    names = ("part", "line", "byte_offset", "code", "sentence", "raw")
    with path.open("wb") as file:
        for reject in iter_rejects(findings.manifest, findings.folder):
            file.write(msgspec.json.encode(dict(zip(names, reject, strict=True))) + b"\n")


def _figures(findings: Findings) -> dict[str, Any]:
    names = (
        "lines",
        "staged",
        "loaded",
        "replaced",
        "derived",
        "duplicate",
        "conflict",
        "rejected",
        "skipped",
        "out_of_window",
    )
    if not findings.manifest:
        return dict.fromkeys((*names, "sanitised", "naive_times", "first_at", "last_at")) | {
            "unknown_properties": {},
            "notes": {},
        }
    totals, counts = findings.manifest.totals, findings.counts
    return {
        "lines": totals.lines,
        "staged": totals.staged,
        "loaded": counts.loaded if counts else 0,
        "replaced": findings.replaced,
        "derived": counts.derived if counts else totals.derived,
        "duplicate": counts.duplicate if counts else totals.duplicate,
        "conflict": counts.conflict if counts else totals.conflict,
        "rejected": totals.rejected,
        "skipped": totals.skipped,
        "out_of_window": totals.out_of_window,
        "sanitised": counts.sanitised if counts else totals.sanitised,
        "naive_times": totals.naive_times,
        "first_at": format_utc(totals.first_at),
        "last_at": format_utc(totals.last_at),
        "unknown_properties": totals.unknown_properties,
        "notes": totals.notes,
    }


def _months(findings: Findings) -> list[dict[str, Any]]:
    if findings.verification:
        return [
            {"month": month, "event_type": kind, "export": export, "table": table}
            for month, kind, export, table in findings.verification.months
        ]
    months = findings.manifest.months if findings.manifest else []
    rows: list[dict[str, Any]] = [{"month": m, "event_type": k, "export": n, "table": None} for m, k, n in months]
    if findings.comparison is not None:
        for row in rows:
            row |= findings.comparison.get((row["month"], row["event_type"]), {})
    return rows


def _verification(verification: Verification | None) -> dict[str, Any] | None:
    if verification is None:
        return None
    differences = [asdict(difference) for difference in verification.differences]
    facts = {"status": verification.status, "checks": verification.checks, "differences": differences}
    return facts | {"rolled_back": verification.rolled_back}


def _rejects_by_reason(findings: Findings) -> list[dict[str, Any]]:
    if not findings.manifest or not findings.folder:
        return []
    counted: Counter[str] = Counter()
    samples: dict[str, list[dict[str, Any]]] = {}
    for part, line, offset, code, sentence, raw in iter_rejects(findings.manifest, findings.folder):
        counted[code] += 1
        kept = samples.setdefault(code, [])
        if len(kept) < SAMPLES_A_REASON:
            kept.append({"part": part, "line": line, "byte_offset": offset, "sentence": sentence, "raw": raw})
    return [{"code": code, "count": count, "samples": samples[code]} for code, count in counted.most_common()]


def _conflicts(findings: Findings) -> list[dict[str, Any]]:
    if findings.table_conflicts or not findings.folder or not findings.manifest:
        return findings.table_conflicts
    within = islice(read_conflicts(findings.folder), KEPT_CONFLICTS)
    return [{"part": c.part, "line": c.line, "event_id": c.event_id, "fields": c.fields} for c in within]


def _table(findings: Findings) -> dict[str, int] | None:
    before, after = findings.before, findings.after
    if not before or not after:
        return None
    return {
        f"{name}_{when}": getattr(facts, name)
        for name in ("rows", "table_bytes", "index_bytes")
        for when, facts in (("before", before), ("after", after))
    }


def _parts(findings: Findings) -> list[dict[str, Any]]:
    lines = findings.manifest.part_lines if findings.manifest else {}
    return [
        {"part": p.name, "size_bytes": p.size_bytes, "sha256": p.fingerprint, "lines": lines.get(p.name)}
        for p in (findings.plan.parts if findings.plan else [])
    ]


def _checked(findings: Findings) -> list[str]:
    sentences = []
    if findings.manifest:
        parts = len(findings.plan.parts) if findings.plan else 0
        sentences.append(
            f"read every one of {findings.manifest.totals.lines:,} records in {parts} part(s) and decided each"
        )
    sentences.extend(f"gate {gate['suite']}: {len(gate['checks'])} checks, {gate['status']}" for gate in findings.gates)
    if findings.comparison is not None:
        sentences.append("compared every staged event with the target table, writing nothing")
    if findings.verification:
        sentences.extend(f"{check['name']}: {check['detail']}" for check in findings.verification.checks)
    return sentences


def _not_checked(findings: Findings) -> list[str]:
    if not findings.is_dry_run:
        return [] if findings.verification else ["the table was not verified: the run ended before"]
    if findings.comparison is not None:
        return ["nothing was loaded, so nothing in the table was verified"]
    return ["no database was opened: not whether the events are there already, nor whether they would load"]


def _undo(findings: Findings) -> str | None:
    if (
        not findings.run
        or not findings.counts
        or not sum((findings.counts.loaded, findings.counts.derived, findings.replaced))
    ):
        return None
    return f"hindcast rollback --run {findings.run.run_id} --apply"


def _seconds(findings: Findings) -> float | None:
    if findings.first_byte_at is None:
        return None
    return round((findings.verified_at or time.time()) - findings.first_byte_at, 3)


def _startup_seconds(findings: Findings) -> float | None:
    if findings.first_byte_at is None:
        return None
    return round(process_age_seconds() - (time.time() - findings.first_byte_at), 3)
