"""What the commands of `hindcast generate` share."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from hindcast.synthetic import GenerateSpec


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
