"""Commands about the database: `hindcast db`, `hindcast psql`."""

import sys

import click

from flows.terminal import fail, load_settings


@click.group()
def db() -> None:
    """The target database: the embedded server, the schema."""


@db.command()
def start() -> None:
    """Start the embedded PostgreSQL of HINDCAST_HOME (created at the first start) and bring its schema up to date."""
    from hindcast.database import migrate
    from hindcast.embedded import EmbeddedServer

    with fail():
        settings = load_settings()
        settings.home.mkdir(parents=True, exist_ok=True)
        server = EmbeddedServer(settings.home, settings.embedded_version)
        facts = server.start()
        migrate(server.url())
        click.echo(f"PostgreSQL {facts.version} is running, pid {facts.pid}: {server.url()}")


@db.command()
def stop() -> None:
    """Stop the embedded PostgreSQL of HINDCAST_HOME; its data stays."""
    from hindcast.embedded import EmbeddedServer

    with fail():
        settings = load_settings()
        server = EmbeddedServer(settings.home, settings.embedded_version)
        was_running = server.status().is_running
        server.stop()
        click.echo("stopped" if was_running else "it was not running")


@db.command()
def url() -> None:
    """Print the target's URL (without starting anything)."""
    from hindcast.embedded import EmbeddedServer

    with fail():
        settings = load_settings()
        if settings.database_url is not None:
            click.echo(settings.database_url.get_secret_value())
            return
        click.echo(EmbeddedServer(settings.home, settings.embedded_version).url())


@db.command()
def migrate() -> None:
    """Bring the target's schema up to date; an `analytics_events` of the runbook's shape is adopted with its rows."""
    from hindcast.database import describe_url, target_url
    from hindcast.database import migrate as bring_up_to_date

    with fail():
        target = target_url(load_settings())
        click.echo(f"{describe_url(target)}: schema at revision {bring_up_to_date(target)}")


@click.command("stop")
def stop_all() -> None:
    """End what stays between commands of HINDCAST_HOME: the embedded PostgreSQL (its data stays), Prefect's server."""
    from flows.private_server import end_lasting_server
    from hindcast.embedded import EmbeddedServer

    with fail():
        settings = load_settings()
        pid = end_lasting_server(settings.home)
        click.echo(f"Prefect's server: {'stopped' if pid else 'it was not running'}")
        server = EmbeddedServer(settings.home, settings.embedded_version)
        was_running = server.status().is_running
        server.stop()
        click.echo(f"PostgreSQL: {'stopped' if was_running else 'it was not running'}")


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql(arguments: tuple[str, ...]) -> None:
    """Open psql on the target, configured or embedded.

    For example: `hindcast psql -- -c "SELECT count(*) FROM analytics_events"`.
    """
    from hindcast.database import target_url
    from hindcast.embedded import run_psql

    with fail():
        status = run_psql(target_url(load_settings()), arguments)
    sys.exit(status)
