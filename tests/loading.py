"""Drives an import into a test database: plan, stage, load and verify, all in this process."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from hindcast.database import add_months, connect
from hindcast.extract import stage_export
from hindcast.ledger import Counts, Run, finish_run, open_run, record_manifest, sum_counts
from hindcast.load import load_chunks
from hindcast.load_task import LoadTask
from hindcast.manifest import Manifest
from hindcast.plan import Plan, Request, make_plan, save_plan
from hindcast.pool import call_here
from hindcast.settings import load_settings
from hindcast.spot_checks import SpotResult, spot_check
from hindcast.verify import Verification, sum_proofs, verify_chunks

LEARNERS = 3  # so that distinct counts differ from counts


class InProcess:
    """The calls of WorkerPool without its processes."""

    def call(self, function: str, *arguments: object) -> Any:
        return call_here(function, *arguments)

    def map_unordered(self, function: str, calls: Iterable[tuple[object, ...]]) -> Iterator[Any]:
        return (self.call(function, *arguments) for arguments in calls)  # by way of what a test has put over call


@dataclass
class Import:
    """A run that is staged and open, ready to load."""

    url: str
    plan: Plan
    folder: Path
    manifest: Manifest
    run: Run

    def task(self, *chunks: int) -> LoadTask:
        """The call for these chunks, all when none is named."""
        numbers = chunks or tuple(chunk.number for chunk in self.manifest.chunks)
        return LoadTask(self.url, str(self.folder), self.run.run_id, self.plan.format, self.plan.on_conflict, numbers)

    def load(self, *chunks: int) -> Counts:
        """Load chunks; returns what the ledger then has of the run."""
        load_chunks(self.task(*chunks))
        return self.counts()

    def counts(self) -> Counts:
        with connect(self.url, load_settings()) as connection:
            return sum_counts(connection, self.run.run_id)

    def verify(self) -> Verification:
        return sum_proofs(self.manifest, verify_chunks(self.task()))

    def failed_checks(self) -> set[str]:
        return {check["name"] for check in self.verify().checks if check["status"] == "failed"}

    def spot_check(self, count: int = 1000) -> SpotResult:
        return spot_check(self.task(), count)

    def finish(self, status: str = "succeeded") -> None:
        with connect(self.url, load_settings()) as connection:
            finish_run(connection, self.run.run_id, status, {})


def stage(file: Path, pool: Any = None, **request: Any) -> tuple[Plan, Path, Manifest]:
    """Plan and stage an export, without a database."""
    settings = load_settings()
    plan = make_plan(Request(file=str(file), **request), settings, datetime.now(UTC))
    folder = settings.staging_dir / plan.folder_name
    plan = save_plan(plan, folder)
    return plan, folder, stage_export(plan, folder, pool or InProcess(), lambda segment: None)


def begin(url: str, file: Path, is_new_run: bool = False, **request: Any) -> Import:
    """Stage an export and open its run."""
    plan, folder, manifest = stage(file, **request)
    with connect(url, load_settings()) as connection:
        run = open_run(connection, plan, "ab", is_new_run)
        record_manifest(connection, run, manifest, folder)
        if manifest.totals.first_at and manifest.totals.last_at:
            add_months(connection, manifest.totals.first_at, manifest.totals.last_at)
    return Import(url, plan, folder, manifest, run)


def load(url: str, file: Path, **request: Any) -> Import:
    """Import an export from beginning to end."""
    begun = begin(url, file, **request)
    begun.load()
    begun.finish()
    return begun


def make_event(number: int, **fields: Any) -> dict[str, Any]:
    """A record: one a minute from 2024-01-31 23:00, so that 60 reach into the next month."""
    minutes = 23 * 60 + number
    return {
        "event_type": "lesson_started" if number % 2 else "lesson_completed",
        "occurred_at": f"2024-{1 if minutes < 1440 else 2:02}-{31 if minutes < 1440 else 1:02}"
        f"T{minutes // 60 % 24:02}:{minutes % 60:02}:00Z",
        "user_id": f"learner-{number % LEARNERS}",
        "course_id": "course-1",
        "lesson_id": f"lesson-{number // 2 % 4}",
        "payload": {"number": number, "progress": number / 100},
    } | fields


def write_export(path: Path, records: Iterable[dict[str, Any] | str]) -> Path:
    """Write records, or lines as they are."""
    lines = (record if isinstance(record, str) else json.dumps(record) for record in records)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def query(url: str, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Run SQL as somebody else would, and commit."""
    with psycopg.connect(url, options="-c timezone=UTC") as connection:
        cursor = connection.execute(statement, parameters or None)  # type: ignore[arg-type]  # ours
        return cursor.fetchall() if cursor.description else []


def count_events(url: str) -> int:
    return int(query(url, "SELECT count(*) FROM analytics_events")[0][0])


def note_commits(url: str) -> None:
    """From now on, `noted_commits` has a `synchronous_commit` for each chunk committed; the database's is `on`."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            """
            CREATE TABLE noted_commits (setting text);
            CREATE FUNCTION note_commit() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                INSERT INTO noted_commits VALUES (current_setting('synchronous_commit'));
                RETURN NULL;
            END $$;
            CREATE CONSTRAINT TRIGGER note_commit AFTER INSERT ON import_chunks DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW EXECUTE FUNCTION note_commit();
            """
        )
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET synchronous_commit = on").format(sql.Identifier(connection.info.dbname))
        )
