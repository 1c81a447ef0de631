"""One night at work: which exports were imported, which failed, whether the window closed; and how the night ends."""

import json
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.backfill import import_export
from hindcast.errors import RunFailed, TargetError, WindowClosed, WorkerDied
from hindcast.plan import Request
from tasks.inbox import Queued

STATES = ("unfinished", "new")  # in this order: what was begun is finished first


@dataclass
class Night:
    """What a night imports, and `rows`: what became of each export in the inbox. `closes_at` is epoch seconds."""

    request: Request
    closes_at: float
    rows: list[dict[str, Any]] = field(default_factory=list)

    def import_all(self, queue: list[Queued]) -> None:
        """Import what is unfinished or new; stops at the close, or when the target cannot be worked with."""
        is_over = False
        for export in sorted(queue, key=lambda export: STATES.index(export.state) if export.state in STATES else 9):
            if export.state not in STATES:
                self._note(export, export.state)
            elif is_over or time.time() >= self.closes_at:
                self._note(export, "waits")
            else:
                is_over = not self._import(export)

    def end(self) -> State[Any]:
        """The state the flow ends in: failed when an export failed; else completed, in words."""
        counted = Counter(row["outcome"] for row in self.rows)
        told = ", ".join(f"{count} {outcome}" for outcome, count in counted.items()) or "the inbox is empty"
        failed = [row for row in self.rows if row["outcome"] == "failed"]
        if failed:
            return Failed(message=f"{told}; {failed[0]['export']}: {failed[0]['detail']}", data=self.rows)
        if counted["window closed"] or counted["waits"]:
            return Completed(name="WindowClosed", message=f"{told}; the next night goes on", data=self.rows)
        return Completed(message=told, data=self.rows)

    def _import(self, export: Queued) -> bool:
        """Import one; False when the others have to wait."""
        request = replace(self.request, file=export.location)
        try:
            self._note(export, "imported", str(import_export(request, self.closes_at)))
        except WindowClosed as closed:
            self._note(export, "window closed", closed.report_path, str(closed))
            return False
        except RunFailed as error:
            self._note(export, "failed", error.report_path, str(error))
            return not isinstance(error.__cause__, TargetError | WorkerDied)
        return True

    def _note(self, export: Queued, outcome: str, report_path: str = "", detail: str = "") -> None:
        report = json.loads(Path(report_path).with_suffix(".json").read_text()) if report_path else {}
        self.rows.append(
            {
                "export": export.name,
                "outcome": outcome,
                "loaded": report.get("loaded"),
                "run": report.get("run_id"),
                "detail": detail,
                "report": report_path,
            }
        )
