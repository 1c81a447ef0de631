"""`hindcast generate`: synthetic exports with their answer keys, one command a format."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.cli_amplitude import amplitude
from flows.cli_email import email_engagement
from flows.terminal import fail

if TYPE_CHECKING:
    from hindcast.synthetic import GenerateSpec


@click.group()
def generate() -> None:
    """Write a synthetic export and, beside it, OUT.answers.json: every count that an import of it must report."""


def seed_and_out(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options every generator has."""
    seed = click.option(
        "--seed", type=click.IntRange(0), default=1, show_default=True, help="The same seed gives the same bytes."
    )
    out = click.option(
        "--out",
        required=True,
        type=click.Path(path_type=Path),
        help="Where to write; .gz and .zst are compressed. The answer key goes to OUT.answers.json.",
    )
    return seed(out(command))


def write_and_tell(spec: "GenerateSpec") -> None:
    """Make the export and say what it is."""
    from hindcast.synthetic import generate as make_export

    answers = make_export(spec)
    click.echo(
        f"{spec.out}: {answers.lines:,} records, {answers.rejected:,} of them bad; key in {spec.out}.answers.json"
    )


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
generate.add_command(email_engagement)
