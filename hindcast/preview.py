"""Preview: what an undo would do, and to whom. Reads only."""

import shlex
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from hindcast.archive_ledger import Archive, find_unfinished, sum_chunks
from hindcast.overlap import Overlap, Owner, find_overlaps, find_owners
from hindcast.put_back import count_put_back
from hindcast.rollups import ROLLUPS
from hindcast.row_digest import table_columns
from hindcast.selected_rows import SelectedRows, measure_rows, snapshot
from hindcast.selection import Selection
from hindcast.settings import Settings
from hindcast.window import Window

SAMPLE_ROWS: Final = 10
# Archived, read again, deleted, rolled up and looked up on two cores; replaced by what was measured here.
_GUESSED_ROWS_A_SECOND: Final = 20_000
_SAMPLE: Final = sql.SQL(
    "SELECT e.event_id::text, e.created_at, e.source, e.tenant, e.event_type, e.import_chunk_id, e.export_line"
    " FROM analytics_events AS e WHERE {} LIMIT {}"
)


@dataclass(frozen=True)
class Estimate:
    """How long it may take; measured when earlier rollbacks of this database say so."""

    minutes: float
    rows_a_second: float
    is_measured: bool


@dataclass
class Preview:
    """What an undo would do."""

    selection: Selection
    selected: SelectedRows
    owners: list[Owner]
    live_rows_kept: int
    put_back: int
    sample: list[dict[str, Any]]
    overlaps: list[Overlap]
    estimate: Estimate
    run_status: str | None = None
    unfinished: Archive | None = None
    unfinished_counts: dict[str, int] = field(default_factory=dict)

    @property
    def command(self) -> str:
        """The command that applies it."""
        allow = ["--allow-overlap"] if self.overlaps else []
        return shlex.join(["hindcast", "rollback", *self.selection.options(), *allow, "--apply"])

    @property
    def digest(self) -> str:
        """Of the whole rows that are selected now."""
        return self.selected.digest.text

    @property
    def rows(self) -> int:
        return self.selected.rows

    @property
    def days(self) -> int:
        return len(self.selected.days)

    @property
    def live_rows(self) -> int:
        """Rows of the live platform that would go."""
        return self.selected.live_rows

    @property
    def months(self) -> list[tuple[str, str, int]]:
        """Month, event type and rows, in order."""
        return self.selected.month_counts()

    def as_json(self) -> dict[str, Any]:
        """The preview for scripts."""
        return {
            "status": "preview",
            "selection": self.selection.as_json(),
            "rows": self.rows,
            "digest": self.digest,
            "preview": [{"month": month, "event_type": kind, "rows": rows} for month, kind, rows in self.months],
            "deleted": 0,
            "archive": str(self.unfinished.archive_id) if self.unfinished else None,
            "live_rows": self.live_rows,
            "live_rows_kept": self.live_rows_kept,
            "put_back": self.put_back,
            "rollups": [{"rollup": name, "buckets": self.days} for name in ROLLUPS] if self.days else [],
            "verification": None,
            "owners": [asdict(owner) for owner in self.owners],
            "overlaps": [asdict(overlap) for overlap in self.overlaps],
            "sample": self.sample,
            "estimate": asdict(self.estimate),
            "command": self.command,
        }


def make_preview(connection: psycopg.Connection, selection: Selection, settings: Settings) -> Preview:
    """Look at the selected rows in one snapshot. Takes a scan of the months concerned."""
    with snapshot(connection):
        selected = measure_rows(connection, selection, table_columns(connection))
        owners = find_owners(connection, selected)
        unfinished = find_unfinished(connection, selection)
        return Preview(
            selection=selection,
            selected=selected,
            owners=owners,
            live_rows_kept=0 if selection.include_live else count_live(connection, selection, selected),
            put_back=count_put_back(connection, selection),
            sample=_take_sample(connection, selection),
            overlaps=find_overlaps(connection, selection, selected, owners, settings),
            estimate=_estimate(connection, selected.rows),
            run_status=_run_status(connection, selection),
            unfinished=unfinished,
            unfinished_counts=sum_chunks(connection, unfinished.archive_id) if unfinished else {},
        )


def count_live(connection: psycopg.Connection, selection: Selection, selected: SelectedRows) -> int:
    """Rows of the live platform that stay: within the window, or within the days of the run's rows."""
    if not selection.window.start and not selected.days:
        return 0
    days = Window()
    if selected.days:
        first, last = (datetime.combine(day, time(), UTC) for day in (min(selected.days), max(selected.days)))
        days = Window(first, last + timedelta(days=1))
    query = sql.SQL("SELECT count(*) FROM analytics_events AS e WHERE {}").format(selection.live_condition("e", days))
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0


def _run_status(connection: psycopg.Connection, selection: Selection) -> str | None:
    row = connection.execute("SELECT status FROM import_runs WHERE run_id = %s", (selection.run_id,)).fetchone()
    return str(row[0]) if row else None


def _take_sample(connection: psycopg.Connection, selection: Selection) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SAMPLE.format(selection.condition("e"), sql.Literal(SAMPLE_ROWS))).fetchall()


def _estimate(connection: psycopg.Connection, rows: int) -> Estimate:
    row = connection.execute(
        "SELECT sum(rows), sum((report ->> 'seconds')::float8) FROM ("
        " SELECT rows, report FROM import_archives"
        " WHERE rows >= 10000 AND NOT (report ->> 'resumed')::boolean ORDER BY created_at DESC LIMIT 10) AS latest"
    ).fetchone()
    is_measured = bool(row and row[0] and row[1])
    rate = float(row[0]) / row[1] if row and is_measured else float(_GUESSED_ROWS_A_SECOND)
    return Estimate(round(rows / rate / 60, 2), round(rate, 1), is_measured)
