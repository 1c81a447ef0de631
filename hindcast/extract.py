"""Extract: read an export, decide each record once, write it to exactly one place: a staged chunk, a reject, a skip."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hindcast.errors import ExportError, RecordError
from hindcast.export import DAMAGE, Bounds, Part, open_part
from hindcast.formats.base import Context
from hindcast.llm_staging import BODIES
from hindcast.manifest import Manifest, seal_manifest
from hindcast.part_records import iter_records
from hindcast.plan import Plan, check_unchanged, load_plan
from hindcast.pool import Workers
from hindcast.records import Batch, RawRecord, iter_batches, iter_lines
from hindcast.settings import Settings, load_settings
from hindcast.staged_files import fetch_all, local_folder
from hindcast.stager import Stager, fewer_collections
from hindcast.staging import Segment, find_staged


@dataclass(frozen=True)
class SegmentTask:
    """One byte range of one part; `limit` is how many records it may read."""

    number: int
    part_index: int
    start: int
    end: int | None
    limit: int | None = None


def stage_export(plan: Plan, folder: Path, pool: Workers, on_progress: Callable[[Segment], None]) -> Manifest:
    """Stage every segment not staged yet and seal the manifest. Safe to run again after any interruption.

    Raises ExportError when a part changed while it was read.
    """
    tasks = list_segments(plan)
    staged = find_staged(folder, [task.number for task in tasks])
    if plan.limit is None:
        for segment in staged.values():
            on_progress(segment)
        waiting = ((str(folder), task) for task in tasks if task.number not in staged)
        for segment in pool.map_unordered("hindcast.extract:stage_segment", waiting):
            on_progress(segment)
    else:
        tasks = _stage_limited(plan.limit, tasks, folder, pool, on_progress)
    fetch_all(folder, but=BODIES)
    with ThreadPoolExecutor(1) as aside:  # the second look at the parts is hashing, which lets sealing go on
        unchanged = aside.submit(check_unchanged, plan)
        return seal_manifest(plan, folder, [task.number for task in tasks], pool.map_unordered, unchanged.result)


def list_segments(plan: Plan) -> list[SegmentTask]:
    """Cut the parts into byte ranges that do not depend on how many workers there are."""
    tasks: list[SegmentTask] = []
    for index, part in enumerate(plan.parts):
        if not part.is_splittable:
            tasks.append(SegmentTask(len(tasks), index, 0, None))
            continue
        for start in range(0, max(part.size_bytes, 1), plan.segment_bytes):
            end = min(start + plan.segment_bytes, part.size_bytes)
            tasks.append(SegmentTask(len(tasks), index, start, end))
    return tasks


def stage_segment(folder: str, task: SegmentTask) -> Segment:
    """Stage one segment; runs in a worker. Its files appear whole or not at all."""
    place, settings = local_folder(folder), load_settings()
    plan = load_plan(place)
    part = plan.parts[task.part_index]
    bounds = Bounds(settings.max_decompression_ratio, settings.max_member_bytes)
    segment = Segment(task.number, part.name, task.start)
    stager = Stager(plan, place, segment, make_context(plan, settings))
    with fewer_collections(), stager:
        for batch in _read_batches(part, task, plan, bounds, stager):
            stager.add(batch)
            if task.limit is not None and stager.records >= task.limit:
                break
        stager.finish()
    return stager.segment


def make_context(plan: Plan, settings: Settings) -> Context:
    """What decoding needs, from the plan and the settings (the secret is in no plan)."""
    secret = settings.pii_secret
    key = secret.get_secret_value().encode() if secret else None
    context = Context(latest=plan.latest, tenant=plan.tenant, options=plan.options, pii_key=key)
    context.bucket, context.inline_bytes = plan.bucket, plan.inline_bytes
    return context


def _stage_limited(
    limit: int,
    tasks: list[SegmentTask],
    folder: Path,
    pool: Workers,
    on_progress: Callable[[Segment], None],
) -> list[SegmentTask]:
    done: list[SegmentTask] = []
    for task in tasks:
        segment = find_staged(folder, [task.number]).get(task.number)
        if segment is None:
            limited = SegmentTask(task.number, task.part_index, task.start, task.end, limit)
            segment = pool.call("hindcast.extract:stage_segment", str(folder), limited)
        on_progress(segment)
        done.append(task)
        limit -= sum(chunk.records for chunk in segment.chunks)
        if limit <= 0:
            break
    return done


def _read_batches(part: Part, task: SegmentTask, plan: Plan, bounds: Bounds, stager: Stager) -> Iterator[Batch]:
    progress = stager.progress
    try:
        with open_part(part, max(task.start - 1, 0), bounds) as stream:
            if part.is_array or part.is_requests:
                yield from map(Batch.of, iter_records(part, stream, plan.max_line_bytes, progress))
            elif task.limit is not None:  # to stop right after the last line that is wanted
                yield from map(Batch.of, iter_lines(stream, task.start, task.end, plan.max_line_bytes, progress))
            else:
                yield from iter_batches(stream, task.start, task.end, plan.max_line_bytes, progress)
    except DAMAGE as error:
        progress.lines += 1
        stager.segment.is_damaged = True
        fault = RecordError("damaged_part", f"the archive breaks off or is damaged here: {error}; export it again")
        yield Batch.of(RawRecord(progress.lines, task.start + progress.bytes_read, b"", fault))
    except FileNotFoundError:
        raise ExportError(f"{part.name}: the file is gone; put it back and run again") from None
