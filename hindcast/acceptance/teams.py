"""Teams of one run: a fresh token each, and a cleanup that leaves nothing of them and proves it."""

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import psycopg

from hindcast.acceptance.outcome import require
from hindcast.capture.tokens import add_token
from hindcast.llm_events import SOURCE
from hindcast.objects.store import ObjectStore
from hindcast.objects.teams import ROOT, team_of

_NAME: Final = re.compile(r"hindcast-acceptance-[0-9a-f]{32}")
# A run takes minutes; who is younger may be at work.
_LEFT_BEHIND: Final = "created_at < now() - interval '1 hour'"
# Events are of the day they are sent on: other months are not searched.
_SPAN: Final = (
    "source = %(source)s AND tenant = ANY(%(teams)s)"
    " AND created_at >= now() - interval '31 days' AND created_at < now() + interval '2 days'"
)


@dataclass(frozen=True)
class Team:
    """A team of this run. The token is in memory only, and gone with the run."""

    team: str
    token: str = field(repr=False)


@dataclass
class Removed:
    """How many of each were removed. `missing` objects were noted by the endpoint, and are not in our store."""

    rows: int = 0
    objects: int = 0
    notes: int = 0
    tokens: int = 0
    missing: int = 0

    def __str__(self) -> str:
        return f"{self.rows:,} rows, {self.objects:,} objects, {self.notes:,} notes of objects, {self.tokens:,} tokens"


def make_team(connection: psycopg.Connection, run: str) -> Team:
    """A team nobody has, whose token may capture. `run` (32 hex digits) names it in `hindcast capture-token list`."""
    token = f"phc_acceptance_{secrets.token_urlsafe(24)}"
    name = f"hindcast-acceptance-{run}"
    assert _NAME.fullmatch(name)
    add_token(connection, name, token)
    return Team(team_of(token), token)


def find_left_behind(connection: psycopg.Connection) -> list[str]:
    """Teams of runs that were killed over an hour ago."""
    rows = connection.execute(
        f"SELECT team, name FROM capture_tokens WHERE name LIKE 'hindcast-acceptance-%%' AND {_LEFT_BEHIND}",  # noqa: S608
        (),
    )
    return sorted({team for team, name in rows if _NAME.fullmatch(name)})


def remove_teams(connection: psycopg.Connection, store: ObjectStore, teams: Iterable[str]) -> Removed:
    """Remove everything these teams have. Objects go first: what is left after a fault is still found by its token."""
    listed = sorted(set(teams))
    removed = Removed()
    found = {item.key for team in listed for item in store.list(f"{ROOT}/{team}/")}
    for key in sorted(found):
        store.delete(key)
    removed.objects = len(found)
    noted = connection.execute(
        "SELECT bucket, key FROM llm_objects WHERE team = ANY(%s) AND state = 'committed'", (listed,)
    )
    removed.missing = sum(1 for bucket, key in noted if bucket != store.bucket or key not in found)
    with connection.transaction():
        removed.rows = connection.execute(
            f"DELETE FROM analytics_events WHERE {_SPAN}",  # noqa: S608  # a constant
            {"source": SOURCE, "teams": listed},
        ).rowcount
        removed.notes = connection.execute("DELETE FROM llm_objects WHERE team = ANY(%s)", (listed,)).rowcount
        removed.tokens = connection.execute("DELETE FROM capture_tokens WHERE team = ANY(%s)", (listed,)).rowcount
    return removed


def require_nothing(connection: psycopg.Connection, store: ObjectStore, teams: Iterable[str]) -> None:
    """Raise CheckFailed when anything of these teams is left; looks at all of the table, without the span."""
    listed = sorted(set(teams))
    objects = sum(1 for team in listed for _ in store.list(f"{ROOT}/{team}/"))
    (left,) = connection.execute(
        "SELECT ARRAY[(SELECT count(*) FROM analytics_events WHERE source = %(source)s AND tenant = ANY(%(teams)s)),"
        " (SELECT count(*) FROM llm_objects WHERE team = ANY(%(teams)s)),"
        " (SELECT count(*) FROM capture_tokens WHERE team = ANY(%(teams)s))]",
        {"source": SOURCE, "teams": listed},
    ).fetchone() or ([],)
    rows, notes, tokens = left
    require(
        not (objects or rows or notes or tokens),
        f"left behind: {rows} rows, {objects} objects, {notes} notes of objects, {tokens} tokens",
    )
