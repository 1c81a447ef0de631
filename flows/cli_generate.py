"""`hindcast generate`: synthetic exports with their answer keys, one command a format."""

from pathlib import Path

import click

from flows.cli_amplitude import amplitude
from flows.cli_api_monitoring import api_monitoring
from flows.cli_email import email_engagement
from flows.cli_llm_analytics import llm_analytics
from flows.generator_options import seed_and_out, write_and_tell
from flows.terminal import fail


@click.group()
def generate() -> None:
    """Write a synthetic export and, beside it, OUT.answers.json: every count that an import of it must report."""


@generate.command("analytics_history")
@click.option("--count", type=click.IntRange(1), default=200_000, show_default=True, help="Records, exactly.")
@seed_and_out
@click.option(
    "--parts", type=click.IntRange(1), default=1, show_default=True, help="Over 1: a folder of so many files."
)
@click.option(
    "--defects/--no-defects",
    default=True,
    show_default=True,
    help="Plant duplicates, conflicts, bad lines and odd spellings.",
)
def analytics_history(count: int, seed: int, out: Path, parts: int, defects: bool) -> None:
    """A learning platform's history: JSON lines."""
    with fail():
        from hindcast.synthetic import GenerateSpec

        write_and_tell(GenerateSpec("analytics_history", count, seed, out, parts=parts, defects=defects))


generate.add_command(amplitude)
generate.add_command(api_monitoring)
generate.add_command(email_engagement)
generate.add_command(llm_analytics)
