"""The command `hindcast preflight`."""

import json
import sys
from dataclasses import asdict

import click

from flows.terminal import fail, load_settings


@click.command()
@click.option(
    "-f", "--file", help="The export that is to be loaded: also compares its size with the room on the disks."
)
@click.option(
    "--on-conflict",
    type=click.Choice(["keep", "replace", "fail"]),
    default="keep",
    show_default=True,
    help="As it will be given to backfill: replacing needs more privileges.",
)
@click.option("--json", "is_json", is_flag=True, help="Print the checks as JSON on stdout, and nothing else there.")
def preflight(file: str | None, on_conflict: str, is_json: bool) -> None:
    """Look for what would stop a load half-way; writes nothing. Exit code 1 when a check failed."""
    with fail():
        from hindcast.database import target_url
        from hindcast.export import find_parts
        from hindcast.headroom import check_room
        from hindcast.preflight import check_target

        settings = load_settings()
        parts = find_parts(file) if file else []
        url = target_url(settings)
        checks = check_target(url, settings, settings.workers or settings.pool_size, on_conflict)
        reached = checks[0].check != "connection"
        checks += check_room(settings, url if reached else None, parts)
    if is_json:
        click.echo(json.dumps([asdict(check) for check in checks]))
    else:
        for check in checks:
            click.echo(f"{check.status:<7} {check.check:<14} {check.sentence}")
    sys.exit(any(check.status == "failed" for check in checks))
