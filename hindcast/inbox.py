"""The inbox: a folder or `s3://` prefix where exports arrive, and what the ledger says of each.

Each file is an export, and each sub-folder is one. Nothing in the inbox is moved or deleted: what was imported is
known from the ledger, by the bytes and not by the name.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal

import psycopg

from hindcast.errors import ConfigurationError, ExportError
from hindcast.export import Part, is_record_file, natural_order
from hindcast.storage import is_s3, list_objects, split_s3

State = Literal["new", "unfinished", "finished", "rolled back"]

# A file that changed less than this ago may still be being written.
QUIET: Final = timedelta(minutes=1)
_UNFINISHED: Final = ("running", "interrupted", "window_closed")


@dataclass(frozen=True)
class Delivery:
    """An export in the inbox: its name there, where to read it, and when its newest file last changed."""

    name: str
    location: str
    changed_at: datetime

    def is_quiet(self, now: datetime) -> bool:
        """False while it may still be being written."""
        return now - self.changed_at >= QUIET


def list_deliveries(inbox: str) -> list[Delivery]:
    """The exports in an inbox, in natural order of their names; raises ConfigurationError when it is no folder."""
    changed: dict[str, datetime] = {}
    base = inbox.rstrip("/") + "/"
    for name, changed_at in _list_s3(base) if is_s3(inbox) else _list_local(Path(inbox)):
        first, _, below = name.partition("/")
        key = f"{first}/" if below else first
        changed[key] = max(changed_at, changed.get(key, changed_at))
    found = [Delivery(key.rstrip("/"), f"{base}{key}".rstrip("/"), at) for key, at in changed.items()]
    if is_s3(inbox):
        # A prefix without its slash would take in neighbours: `2024` also `2024-extra`.
        found = [Delivery(d.name, f"{base}{key}", d.changed_at) for d, key in zip(found, changed, strict=True)]
    return sorted(found, key=lambda delivery: natural_order(delivery.name))


def state_of(connection: psycopg.Connection, parts: list[Part], tenant: str = "") -> State:
    """What the ledger says of exactly these parts (names, sizes, fingerprints), read whole; the newest run decides.

    A failed run counts as none: the export is tried again. Runs of a window, or with a limit, say nothing of the whole.
    """
    row = connection.execute(
        "SELECT r.status FROM import_runs AS r"
        " WHERE r.window_start IS NULL AND r.window_end IS NULL AND r.tenant = %(tenant)s"
        " AND (r.report ->> 'limit') IS NULL"
        " AND (SELECT count(*) FROM import_parts AS p WHERE p.run_id = r.run_id) = cardinality(%(names)s::text[])"
        " AND NOT EXISTS (SELECT FROM unnest(%(names)s::text[], %(sizes)s::bigint[], %(fingerprints)s::text[])"
        " AS now (part, size_bytes, fingerprint) WHERE NOT EXISTS (SELECT FROM import_parts AS p"
        " WHERE p.run_id = r.run_id AND (p.part, p.size_bytes, p.fingerprint)"
        " = (now.part, now.size_bytes, now.fingerprint)))"
        " ORDER BY r.started_at DESC LIMIT 1",
        {
            "tenant": tenant,
            "names": [part.name for part in parts],
            "sizes": [part.size_bytes for part in parts],
            "fingerprints": [part.fingerprint for part in parts],
        },
    ).fetchone()
    if row is None or row[0] == "failed":
        return "new"
    if row[0] in _UNFINISHED:
        return "unfinished"
    return "finished" if row[0] == "succeeded" else "rolled back"


def _list_local(inbox: Path) -> Iterator[tuple[str, datetime]]:
    if not inbox.is_dir():
        raise ConfigurationError(f"inbox {str(inbox)!r}: no such folder; set HINDCAST_INBOX or the parameter `inbox`")
    for path in inbox.rglob("*"):
        name = path.relative_to(inbox).as_posix()
        if is_record_file(name) and path.is_file():
            yield name, datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _list_s3(base: str) -> Iterator[tuple[str, datetime]]:
    from botocore.exceptions import BotoCoreError, ClientError  # slow to import, and only S3 needs it

    _, prefix = split_s3(base)
    try:
        for item in list_objects(base):
            name = item.key.removeprefix(prefix)
            if is_record_file(name):
                yield name, item.modified_at
    except (BotoCoreError, ClientError) as error:
        raise ExportError(f"inbox {base}: the object store says: {error}") from None
