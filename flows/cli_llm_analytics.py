"""`hindcast generate llm_analytics`."""

from pathlib import Path

import click

from flows.generator_options import seed_and_out
from flows.terminal import fail


@click.command("llm_analytics")
@click.option("--count", type=click.IntRange(1), default=1_000, show_default=True, help="Records, exactly.")
@click.option(
    "--blobs",
    type=(click.IntRange(0, 50), click.IntRange(0, 50)),
    default=(0, 2),
    show_default=True,
    help="Large values of an event, at least and at most.",
)
@click.option(
    "--blob-bytes",
    type=(click.IntRange(16), click.IntRange(16, 10_000_000)),
    default=(1_000, 100_000),
    show_default=True,
    help="Bytes of a large value, at least and at most; every magnitude between is as frequent.",
)
@seed_and_out
@click.option(
    "--defects/--no-defects", default=True, show_default=True, help="Plant repeats, conflicts and bad records."
)
def llm_analytics(
    count: int, blobs: tuple[int, int], blob_bytes: tuple[int, int], seed: int, out: Path, defects: bool
) -> None:
    """Calls of language models: large values inline, or, with --out x.http (.gz, .zst), as captured requests.

    OUT.values.answers.json has the SHA-256 of each large value.
    """
    with fail():
        from hindcast.errors import ConfigurationError
        from hindcast.synthetic import GenerateSpec
        from hindcast.synthetic.llm_analytics import write_llm
        from hindcast.synthetic.llm_records import LargeValues

        if blobs[0] > blobs[1] or blob_bytes[0] > blob_bytes[1]:
            raise ConfigurationError("--blobs, --blob-bytes: expected the smaller number first")
        answers = write_llm(
            GenerateSpec("llm_analytics", count, seed, out, defects=defects), LargeValues(*blobs, *blob_bytes)
        )
        click.echo(f"{out}: {answers.lines:,} records, {answers.rejected:,} of them bad; key in {out}.answers.json")
