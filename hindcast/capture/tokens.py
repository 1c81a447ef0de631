"""Project tokens: which are well-formed, which may capture, and as which team. Only their hashes are kept."""

import hashlib
import secrets
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import psycopg

from hindcast.capture.refusal import Refused
from hindcast.capture.sessions import Sessions
from hindcast.errors import ConfigurationError
from hindcast.objects.keys import check_team
from hindcast.objects.teams import team_of

LONGEST_TOKEN: Final = 64
REMEMBERED_SECONDS: Final = 5.0  # so long a revoked token may go on
_MOST_REMEMBERED: Final = 10_000


@dataclass(frozen=True)
class TokenRow:
    """A token as it is kept; `prefix` is the hash's beginning, which names it in commands."""

    prefix: str
    team: str
    name: str
    created_at: datetime
    revoked_at: datetime | None


class Tokens:
    """Those of the settings and those of the table, each remembered for some seconds; thread-safe."""

    def __init__(self, sessions: Sessions, configured: Iterable[str] = ()) -> None:
        self._sessions = sessions
        self._configured = {_hash(token): team_of(token) for token in configured}
        self._remembered: dict[str, tuple[float, str | None]] = {}
        self._lock = threading.Lock()

    def find_team(self, authorization: str | None) -> str:
        """The team of an `Authorization: Bearer <token>`; raises Refused 401, or a TargetError."""
        digest = _hash(read_token(authorization))
        team = self._configured.get(digest) or self._ask(digest)
        if team is None:
            raise Refused(401, "token: not known, or revoked")
        return team

    def _ask(self, digest: str) -> str | None:
        now = time.monotonic()
        with self._lock:
            until, team = self._remembered.get(digest, (0.0, None))
        if now < until:
            return team
        with self._sessions.lend() as connection:
            row = connection.execute(
                "SELECT team FROM capture_tokens WHERE token_hash = %s AND revoked_at IS NULL", (digest,)
            ).fetchone()
        with self._lock:
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[digest] = (now + REMEMBERED_SECONDS, row[0] if row else None)
        return row[0] if row else None


def read_token(authorization: str | None) -> str:
    """The token of a header, trimmed; raises Refused 401 for what can be none. The sentence never quotes it."""
    if authorization is None:
        raise Refused(401, "Authorization: missing; expected Bearer <project token>")
    scheme, _, token = authorization.strip().partition(" ")
    if scheme.lower() != "bearer":
        raise Refused(401, "Authorization: expected Bearer <project token>")
    fault = find_fault(token.strip())
    if fault:
        raise Refused(401, f"token: {fault}")
    return token.strip()


def find_fault(token: str) -> str | None:
    """What makes a trimmed text no project token, or None."""
    if not token:
        return "empty"
    if len(token) > LONGEST_TOKEN:
        return f"over {LONGEST_TOKEN} characters"
    if not token.isascii() or "\0" in token:
        return "expected ASCII without NUL"
    if token.startswith("phx_"):
        return "a personal key; expected a project token"
    return None


def add_token(connection: psycopg.Connection, name: str, token: str | None = None, team: str | None = None) -> str:
    """Let a token capture, a new one when none is given; returns it. It cannot be shown again.

    `team` is for a second token of one team; by default it follows from the token. A revoked token is let again.
    """
    token = (token or f"phc_{secrets.token_urlsafe(32)}").strip()
    fault = find_fault(token)
    if fault:
        raise ConfigurationError(f"token: {fault}")
    team = team or team_of(token)
    check_team(team)
    added = connection.execute(
        "INSERT INTO capture_tokens (token_hash, team, name) VALUES (%s, %s, %s)"
        " ON CONFLICT (token_hash) DO UPDATE SET revoked_at = NULL, name = EXCLUDED.name"
        " WHERE capture_tokens.team = EXCLUDED.team",
        (_hash(token), team, name),
    ).rowcount
    if not added:
        raise ConfigurationError("token: belongs to another team already")
    return token


def list_tokens(connection: psycopg.Connection) -> list[TokenRow]:
    """All tokens, oldest first."""
    rows = connection.execute(
        "SELECT left(token_hash, 12), team, name, created_at, revoked_at FROM capture_tokens ORDER BY created_at, 1"
    )
    return [TokenRow(*row) for row in rows]


def revoke_token(connection: psycopg.Connection, which: str) -> TokenRow:
    """Revoke by name or by the hash's beginning; raises ConfigurationError unless exactly one is meant."""
    found = [row for row in list_tokens(connection) if not row.revoked_at and _means(row, which)]
    if len(found) != 1:
        raise ConfigurationError(f"{which!r} means {len(found)} tokens; see `hindcast capture-token list`")
    connection.execute(
        "UPDATE capture_tokens SET revoked_at = now() WHERE left(token_hash, 12) = %s AND revoked_at IS NULL",
        (found[0].prefix,),
    )
    return found[0]


def _means(row: TokenRow, which: str) -> bool:
    return which == row.name or (len(which) >= 4 and row.prefix.startswith(which[:12].lower()))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
