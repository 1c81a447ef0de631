"""Each step singly, without the others around it: what its guarantee costs.

The steps' own functions, called as the flow calls them but without Prefect, one after the other. The first two copy
what is staged with nothing around it, the rest add what a load guarantees.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.command import remove
from bench.figures import Taken
from bench.lab import Lab
from hindcast.copying import copy_rows
from hindcast.database import add_months, connect
from hindcast.export import Bounds, open_part
from hindcast.extract import SegmentTask, list_segments, make_context, stage_export
from hindcast.formats import decode_batch, find_format
from hindcast.kernel import has_kernel
from hindcast.kernel_columns import KernelColumns, PlainRules
from hindcast.ledger import open_run, record_manifest, touched_days
from hindcast.load_task import LoadTask
from hindcast.manifest import Manifest, group_chunks, load_manifest
from hindcast.plan import Request, load_plan, make_plan, save_plan
from hindcast.pool import WorkerPool
from hindcast.records import Progress, iter_batches
from hindcast.rollups import rebuild_rollup, rollups_of
from hindcast.settings import Settings, load_settings
from hindcast.staged_rows import read_staged_rows
from hindcast.stager import fewer_collections
from hindcast.times import EPOCH
from hindcast.verify import sum_proofs

_RECORDS_A_CALL = 50_000
_GATE_BATCH_BYTES = 192 * 1024 * 1024


def pieces(lab: Lab) -> dict[str, Taken]:
    """Decode; decode and stage; gate; copy what is staged; load with ledger and conflicts; rollups; verify."""
    home = lab.home()
    try:
        return _Bench(lab, home).run()
    finally:
        remove(home)


class _Bench:
    def __init__(self, lab: Lab, home: Path) -> None:
        self._lab = lab
        self._settings: Settings = load_settings().model_copy(update={"home": home, "governor": "off"})
        self._plan = make_plan(Request(file=str(lab.export)), self._settings, datetime.now(UTC))
        self._folder = self._settings.staging_dir / self._plan.folder_name
        self._taken: dict[str, Taken] = {}

    def run(self) -> dict[str, Taken]:
        plan = save_plan(self._plan, self._folder)
        with WorkerPool(self._settings.workers or self._settings.pool_size) as pool:
            list(pool.map_unordered("bench.pieces:warm_up", [()] * self._settings.pool_size))
            tasks = [(str(self._folder), task) for task in list_segments(plan)]
            self._time("decode", lambda: sum(pool.map_unordered("bench.pieces:decode_segment", tasks)))
            manifest = self._time("stage", lambda: stage_export(plan, self._folder, pool, lambda segment: None))
            self._gate(manifest)
            groups = group_chunks(manifest.chunks, list(range(len(manifest.chunks))), _RECORDS_A_CALL)
            self._copy(manifest, groups, pool)
            self._load(manifest, groups, pool)
        return self._taken

    def _gate(self, manifest: Manifest) -> None:
        from expectations.engine import columns_of, load_great_expectations
        from expectations.gate import run_frame_gate
        from expectations.staged import StagedEvents
        from expectations.suite import load_suite

        load_great_expectations()
        chunks = list(range(len(manifest.chunks)))
        batches = group_chunks(manifest.chunks, chunks, self._settings.gate_batch_rows, _GATE_BATCH_BYTES)
        bounds = {"window_start": self._plan.start or EPOCH, "window_end": self._plan.end or self._plan.latest}

        columns = columns_of(load_suite(self._plan.format, bounds, None))

        def gate() -> None:
            for batch in batches:
                events = StagedEvents(self._folder, [manifest.chunks[number] for number in batch], columns)
                run_frame_gate(self._plan.format, events, bounds, None)

        self._time("gate", gate)

    def _copy(self, manifest: Manifest, groups: list[tuple[int, ...]], pool: WorkerPool) -> None:
        url = self._target(manifest)
        calls = [(url, str(self._folder), self._plan.format, group) for group in groups]
        self._time("copy-staged", lambda: sum(pool.map_unordered("bench.pieces:copy_chunks", calls)))

    def _load(self, manifest: Manifest, groups: list[tuple[int, ...]], pool: WorkerPool) -> None:
        url = self._target(manifest)
        with connect(url, self._settings) as connection:
            run = open_run(connection, self._plan, "bench")
            record_manifest(connection, run, manifest, self._folder)
        task = LoadTask(url, str(self._folder), run.run_id, self._plan.format, "keep", (), asks_own_ids=False)
        calls = [(replace(task, chunks=group),) for group in groups]
        self._time("load", lambda: list(pool.map_unordered("hindcast.load:load_chunks", calls)))
        self._time("rollup", lambda: self._roll_up(url, run.run_id))
        proofs = self._time(
            "verify", lambda: [p for ps in pool.map_unordered("hindcast.verify:verify_chunks", calls) for p in ps]
        )
        if sum_proofs(manifest, proofs).status != "passed":
            raise AssertionError("what was loaded is not what was exported")

    def _roll_up(self, url: str, run_id: Any) -> None:
        with connect(url, self._settings) as connection:
            days = touched_days(connection, run_id)
            for name in rollups_of(self._plan.format):
                rebuild_rollup(connection, name, days)

    def _target(self, manifest: Manifest) -> str:
        totals, url = manifest.totals, self._lab.fresh("piece")
        assert totals.first_at and totals.last_at
        with connect(url, self._settings) as connection:
            add_months(connection, totals.first_at, totals.last_at)
        return url

    def _time(self, name: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        found = work()
        self._taken[f"alone-{name}"] = Taken(time.perf_counter() - began, self._lab.events)
        return found


def warm_up() -> None:
    """Run in a worker: import what it needs."""
    import hindcast.verify  # noqa: F401


def decode_segment(folder: str, task: SegmentTask) -> int:
    """Decode a segment's records and keep nothing; runs in a worker. Returns how many there were."""
    plan, settings = load_plan(Path(folder)), load_settings()
    context, format_ = make_context(plan, settings), find_format(plan.format)
    bounds = Bounds(settings.max_decompression_ratio, settings.max_member_bytes)
    rules = PlainRules(context, getattr(format_, "PLAIN", None))
    is_plain = has_kernel() and rules.names is not None
    count = 0
    with fewer_collections(), open_part(plan.parts[task.part_index], max(task.start - 1, 0), bounds) as stream:
        for batch in iter_batches(stream, task.start, task.end, plan.max_line_bytes, Progress()):
            count += len(batch.raws)
            if batch.fault:
                continue
            left = KernelColumns(plan.format, rules).read(batch) if is_plain else batch
            decode_batch(format_, list(left.raws), context)
    return count


def copy_chunks(url: str, folder: str, source: str, chunks: tuple[int, ...]) -> int:
    """Copy staged chunks, one transaction each: no question, no ledger; runs in a worker. Returns the rows."""
    place, settings, rows = Path(folder), load_settings(), 0
    manifest = load_manifest(place)
    with connect(url, settings) as connection:
        for number in chunks:
            staged = read_staged_rows(place, manifest.chunks[number], source)
            with connection.transaction():
                copy_rows(connection, staged, 0, time.time_ns() // 1_000)
            rows += len(staged)
    return rows
