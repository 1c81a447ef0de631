"""Compare: what a load would do, event by event, without doing it."""

from collections import Counter

from hindcast.database import connect
from hindcast.known import ask_table
from hindcast.load_task import LoadTask
from hindcast.people_links import assign_people
from hindcast.settings import load_settings
from hindcast.staged_rows import read_staged_rows
from hindcast.staging import count_months

Comparison = dict[tuple[str, str], dict[str, int]]


def compare_chunks(task: LoadTask) -> Comparison:
    """Count new, already_there and conflicting events by (month, type); runs in a worker. Reads only."""
    folder, manifest = task.staged, task.read_manifest()
    counted: dict[tuple[str, str], Counter[str]] = {}
    with connect(task.url, load_settings()) as connection:
        for number in task.chunks:
            staged = read_staged_rows(folder, manifest.chunks[number], task.source)
            staged = assign_people(connection, folder, staged, is_writing=False)
            verdict = ask_table(connection, staged)
            verdicts = {
                "new": verdict.new,
                "already_there": verdict.duplicates,
                "conflicting": [conflict.row for conflict in verdict.conflicts],
            }
            for name, indexes in verdicts.items():
                if indexes:
                    for key, count in count_months(staged.take(indexes).table).items():
                        counted.setdefault(key, Counter())[name] += count
    return {key: dict(counts) for key, counts in counted.items()}


def merge_comparisons(comparisons: list[Comparison]) -> Comparison:
    """Add comparisons up; every (month, type) has all three counts."""
    merged: Comparison = {}
    for comparison in comparisons:
        for key, counts in comparison.items():
            total = merged.setdefault(key, {"new": 0, "already_there": 0, "conflicting": 0})
            for name, count in counts.items():
                total[name] += count
    return merged
