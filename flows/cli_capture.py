"""`hindcast capture` and what belongs to it: tokens, objects."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from flows.terminal import fail, load_settings

if TYPE_CHECKING:
    import psycopg

    from hindcast.settings import Settings


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 is every one.")
@click.option("--port", type=click.IntRange(0, 65535), default=8010, show_default=True, help="0: any free one.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that serve.")
def capture(host: str, port: int, workers: int) -> None:
    """Serve the capture endpoint of LLM analytics: POST /i/v0/ai.

    An event that is answered with 200 is durable: its row in the target, its large values in the object store.
    """
    with fail():
        import uvicorn

        from hindcast.capture.app import PATH
        from hindcast.objects.store import open_store
        from hindcast.sockets import find_free_port

        settings = load_settings()
        settings.home.mkdir(parents=True, exist_ok=True)
        with _session(settings) as connection:  # what is wrong is told here, in one line
            if not settings.capture_tokens and not _has_tokens(connection):
                click.echo("no token may capture yet: `hindcast capture-token add NAME`", err=True)
            store = open_store(settings)
        port = port or find_free_port()
        click.echo(f"POST http://{host}:{port}{PATH}, objects in {store}", err=True)
        os.environ["HINDCAST_HOME"] = str(settings.home)
        uvicorn.run(
            "hindcast.capture.app:make_app",
            factory=True,
            host=host,
            port=port,
            workers=workers,
            log_level="warning",
            server_header=False,
            timeout_keep_alive=75,  # longer than the usual 60 s of proxies, which then close first
            timeout_graceful_shutdown=30,
        )


@click.group("capture-token")
def capture_token() -> None:
    """Project tokens that may capture. Only their hashes are kept."""


@capture_token.command()
@click.argument("name")
@click.option("--token", help="A token of your own. Default: a new one, shown once.")
@click.option("--team", help="Whose events these are, for a second token of a team. Default: follows from the token.")
def add(name: str, token: str | None, team: str | None) -> None:
    """Let a token capture, under a NAME for people."""
    from hindcast.capture.tokens import add_token, list_tokens
    from hindcast.objects.teams import team_of

    with fail(), _session(load_settings()) as connection:
        made = add_token(connection, name, token, team)
        click.echo(f"team {team or team_of(made)}, {len(list_tokens(connection))} tokens in all", err=True)
        click.echo(made if token is None else "added")


@capture_token.command("list")
def list_() -> None:
    """Show the tokens: the beginning of the hash, the team, the name."""
    from hindcast.capture.tokens import list_tokens

    with fail(), _session(load_settings()) as connection:
        for row in list_tokens(connection):
            state = f"revoked {row.revoked_at:%Y-%m-%d %H:%M}" if row.revoked_at else "may capture"
            click.echo(f"{row.prefix}  team {row.team}  {row.name}  since {row.created_at:%Y-%m-%d %H:%M}  {state}")


@capture_token.command()
@click.argument("which")
def revoke(which: str) -> None:
    """Revoke a token, by its NAME or the beginning of its hash; endpoints follow within seconds."""
    from hindcast.capture.tokens import revoke_token

    with fail(), _session(load_settings()) as connection:
        row = revoke_token(connection, which)
        click.echo(f"{row.prefix} ({row.name}, team {row.team}) may capture no more")


@click.group()
def objects() -> None:
    """Large values in the object store."""


@objects.command()
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=60,
    show_default=True,
    metavar="MINUTES",
    help="Leave what is younger: it may be under way.",
)
@click.option(
    "--unlisted", is_flag=True, help="Also objects the database does not know, in a bucket that is ours alone."
)
@click.option("--dry-run", is_flag=True, help="Count, and remove nothing.")
def sweep(grace: float, unlisted: bool, dry_run: bool) -> None:
    """Remove objects whose event was never committed. Safe at any time, beside endpoints and imports."""
    from hindcast.objects.ledger import sweep as sweep_pending
    from hindcast.objects.ledger import sweep_unlisted
    from hindcast.objects.store import open_store

    with fail():
        settings = load_settings()
        store = open_store(settings)
        with _session(settings) as connection:
            swept = sweep_pending(connection, store, timedelta(minutes=grace), dry_run)
            if unlisted:
                more = sweep_unlisted(connection, store, timedelta(minutes=grace), dry_run)
                swept.unlisted, swept.size_bytes = more.unlisted, swept.size_bytes + more.size_bytes
        click.echo(
            f"{'would remove' if dry_run else 'removed'} {swept.pending:,} objects never committed"
            f" and {swept.unlisted:,} unlisted, {swept.size_bytes:,} bytes"
            + (f"; left {swept.foreign:,} whose bytes are somebody else's" if swept.foreign else "")
        )


@contextmanager
def _session(settings: "Settings") -> "Iterator[psycopg.Connection]":
    from hindcast.database import connect, require_schema, target_url

    with connect(target_url(settings), settings) as connection:
        require_schema(connection)
        yield connection


def _has_tokens(connection: "psycopg.Connection") -> bool:
    return connection.execute("SELECT FROM capture_tokens WHERE revoked_at IS NULL LIMIT 1").rowcount > 0
