"""`hindcast generate api_monitoring`."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from flows.generator_options import seed_and_out, write_and_tell
from flows.terminal import fail


@click.command("api_monitoring")
@click.option("--count", type=click.IntRange(1), default=100_000, show_default=True, help="Records, exactly.")
@click.option("--hours", type=click.IntRange(1), default=24, show_default=True, help="Length of the time they cover.")
@click.option(
    "--start",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]),
    default="2024-01-01",
    show_default=True,
    help="First instant, UTC. Fixed by default, so that a seed gives the same bytes on any day.",
)
@seed_and_out
@click.option(
    "--defects/--no-defects",
    default=True,
    show_default=True,
    help="Plant duplicates, conflicts, bad records and odd spellings.",
)
def api_monitoring(count: int, hours: int, start: datetime, seed: int, out: Path, defects: bool) -> None:
    """Requests to 62 endpoints of 8 services: one JSON array when OUT ends in .json, else JSON lines."""
    with fail():
        from hindcast.synthetic import GenerateSpec

        begin = start.replace(tzinfo=UTC)
        end = begin + timedelta(hours=hours)
        write_and_tell(GenerateSpec("api_monitoring", count, seed, out, begin, end, defects))
