"""`hindcast generate email_engagement`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.terminal import fail

if TYPE_CHECKING:
    from hindcast.synthetic.email_engagement import EmailExport


@click.command("email_engagement")
@click.option(
    "--count", type=click.IntRange(1), help="Records, exactly. Default: the full history of 350 people over 101 days."
)
@click.option(
    "--seed", type=click.IntRange(0), default=1, show_default=True, help="The same seed gives the same bytes."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Where to write; .gz and .zst are compressed. The answer key goes to OUT.answers.json.",
)
@click.option(
    "--defects/--no-defects",
    default=True,
    show_default=True,
    help="Plant duplicates, conflicts, bad lines, and addresses where they do not belong.",
)
@click.option("--summary", is_flag=True, help="Print what each persona did.")
@click.option("--dry-run", is_flag=True, help="Simulate and say what would be written; write nothing.")
def email_engagement(
    count: int | None, seed: int, out: Path | None, defects: bool, summary: bool, dry_run: bool
) -> None:
    """Messages by email, SMS and push, and what became of them: JSON lines."""
    if out is None and not dry_run:
        raise click.UsageError("Missing option '--out' (or --dry-run).")
    with fail():
        from hindcast.synthetic.email_engagement import END, START, plan_export

        planned = plan_export(seed, START, END, count, defects)
        if summary:
            from hindcast.synthetic.email_summary import summarise

            click.echo(summarise(planned.history))
        if dry_run or out is None:
            click.echo(f"dry run: {planned.count:,} records of {planned.history.people:,} people; nothing is written")
        else:
            _write(planned, seed, out, defects)


def _write(planned: "EmailExport", seed: int, out: Path, defects: bool) -> None:
    from hindcast.synthetic import GenerateSpec
    from hindcast.synthetic.email_engagement import END, START, write_planned

    spec = GenerateSpec("email_engagement", planned.count, seed, out, START, END, defects)
    answers = write_planned(spec, planned)
    click.echo(
        f"{out}: {answers.lines:,} records of {answers.people:,} people, {answers.rejected:,} of them bad; "
        f"key in {out}.answers.json"
    )
