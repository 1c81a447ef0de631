"""Which rows an undo takes: a run or a window, narrowed. Rows of the live platform only when they are named."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg import sql

from hindcast.errors import ConfigurationError
from hindcast.times import format_utc, parse_time
from hindcast.window import Window, parse_window

_FILTERS: Final = ("source", "event_type", "tenant")


@dataclass(frozen=True)
class Selection:
    """Rows of one run, of a closed window, or of a run within a window; a filter that is None is not applied."""

    run_id: UUID | None = None
    window: Window = field(default_factory=Window)
    source: str | None = None
    event_type: str | None = None
    tenant: str | None = None
    include_live: bool = False

    @property
    def is_whole_run(self) -> bool:
        """True when nothing narrows the run."""
        return self.run_id is not None and self == Selection(run_id=self.run_id)

    def as_json(self) -> dict[str, Any]:
        """The selection for the ledger: the same selection gives the same object."""
        named: dict[str, Any] = {"run": str(self.run_id) if self.run_id else None}
        if self.window.start and self.window.end:
            named["window"] = [format_utc(self.window.start), format_utc(self.window.end)]
        named |= {name: getattr(self, name) for name in _FILTERS}
        named["include_live"] = self.include_live or None
        return {name: value for name, value in sorted(named.items()) if value is not None}

    def describe(self) -> str:
        """The selection in a few words: `run 1a2b3c4d`, `2024-01-01..2024-02-01 event_type lesson_started`."""
        words = [f"run {str(self.run_id)[:8]}"] if self.run_id else []
        if self.window.start and self.window.end:
            words.append(f"{_short(self.window.start)}..{_short(self.window.end)}")
        words += [f"{name} {value!r}" for name in _FILTERS if (value := getattr(self, name)) is not None]
        return " ".join([*words, *(["with live rows"] if self.include_live else [])])

    def options(self) -> list[str]:
        """The options of `hindcast rollback` that make this selection, as words of a command."""
        words = ["--run", str(self.run_id)] if self.run_id else []
        if self.window.start and self.window.end:
            words += ["--window", f"{_short(self.window.start)}..{_short(self.window.end)}"]
        for name in _FILTERS:
            if (value := getattr(self, name)) is not None:
                words += [f"--{name.replace('_', '-')}", value]
        return [*words, *(["--include-live"] if self.include_live else [])]

    def condition(self, alias: str) -> sql.Composable:
        """The rows of `alias` (an `analytics_events`) that are selected."""
        imported = sql.SQL("TRUE") if self.include_live else _column(alias, "import_chunk_id") + sql.SQL(" IS NOT NULL")
        return sql.SQL(" AND ").join([*self._conditions(alias), imported])

    def live_condition(self, alias: str, days: Window) -> sql.Composable:
        """Rows of the live platform that the filters fit, in the window or else in these days."""
        within = self if self.window.start else Selection(None, days, self.source, self.event_type, self.tenant)
        narrowed = Selection(None, within.window, self.source, self.event_type, self.tenant)
        live = _column(alias, "import_chunk_id") + sql.SQL(" IS NULL")
        return sql.SQL(" AND ").join([*narrowed._conditions(alias), live])

    def _conditions(self, alias: str) -> list[sql.Composable]:
        found: list[sql.Composable] = []
        if self.run_id:
            # The bounds are for the block ranges' index, the list for rows of runs that loaded at the same time.
            found.append(
                sql.SQL(
                    "{column} >= (SELECT min(chunk_id) FROM import_chunks WHERE run_id = {run})"
                    " AND {column} <= (SELECT max(chunk_id) FROM import_chunks WHERE run_id = {run})"
                    " AND {column} IN (SELECT chunk_id FROM import_chunks WHERE run_id = {run})"
                ).format(column=_column(alias, "import_chunk_id"), run=sql.Literal(self.run_id))
            )
        created_at = _column(alias, "created_at")
        if self.window.start:
            found.append(created_at + sql.SQL(" >= ") + sql.Literal(self.window.start))
        if self.window.end:
            found.append(created_at + sql.SQL(" < ") + sql.Literal(self.window.end))
        found.extend(
            _column(alias, name) + sql.SQL(" = ") + sql.Literal(value)
            for name in _FILTERS
            if (value := getattr(self, name)) is not None
        )
        return found


def check_selection(run: str | None, window: str | None, include_live: bool) -> Window:
    """Read the window; raises ConfigurationError unless a run or a window with both ends is named."""
    span = parse_window(window)
    if not run and not window:
        raise ConfigurationError("nothing is selected: name a run (--run ID) or a window (--window START..END)")
    if window and not (span.start and span.end):
        raise ConfigurationError(f"window {window!r}: expected both ends, such as 2024-01-01..2024-02-01")
    if run and include_live:
        raise ConfigurationError("--include-live goes with a window: rows of the live platform belong to no run")
    return span


def find_selection(connection: psycopg.Connection, run: str | None, selection: Selection) -> Selection:
    """The selection with its run looked up by id or the beginning of it; raises ConfigurationError if not one."""
    if not run:
        return selection
    from hindcast.ledger import find_run  # imports Arrow, which a command's --help can do without

    run_id = find_run(connection, run)["run_id"]
    return Selection(
        run_id, selection.window, selection.source, selection.event_type, selection.tenant, selection.include_live
    )


def read_selection(value: dict[str, Any]) -> Selection:
    """The inverse of `as_json`."""
    start, end = (parse_time(side)[0] for side in value["window"]) if "window" in value else (None, None)
    return Selection(
        UUID(value["run"]) if "run" in value else None,
        Window(start, end),
        value.get("source"),
        value.get("event_type"),
        value.get("tenant"),
        bool(value.get("include_live")),
    )


def encode_selection(selection: Selection) -> str:
    """The selection as canonical JSON text."""
    return json.dumps(selection.as_json(), sort_keys=True)


def _column(alias: str, name: str) -> sql.Composable:
    return sql.Identifier(alias, name)


def _short(moment: datetime) -> str:
    text = moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return text.removesuffix("T00:00:00Z")
