"""`hindcast fetch`: bring a source's history into the inbox."""

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from flows.cli_amplitude import MOMENT, read_window
from flows.terminal import fail, load_settings, show_progress

if TYPE_CHECKING:
    from hindcast.fetch import Summary


@click.group()
def fetch() -> None:
    """Bring a source's exported history into the inbox, where `backfill` and the nightly deployment find it."""


@fetch.command("amplitude")
@click.option("--start", help=f"First hour: {MOMENT} Default: AMPLITUDE_START_TIME, or yesterday.")
@click.option("--end", help="Up to this moment, not included. Default: AMPLITUDE_END_TIME, or the end of yesterday.")
@click.option("--cluster", type=click.Choice(["us", "eu"]), help="Where the project is. Default: AMPLITUDE_CLUSTER.")
@click.option("--inbox", help="A folder. Default: HINDCAST_INBOX.")
@click.option("--name", help="What the export is called in the inbox, one name a project. Default: the cluster.")
@click.option(
    "--hours-per-request",
    type=click.IntRange(1, 24),
    default=1,
    show_default=True,
    help="Ask for so many hours at once; what is too large is asked for in halves.",
)
@click.option("--partial", is_flag=True, help="Deliver days that are not whole yet; their folders grow.")
@click.option("--force", is_flag=True, help="Ask again for hours that are pinned. Downloads are not byte-stable.")
@click.option("--json", "is_json", is_flag=True, help="Print what was done as one JSON object on stdout.")
@click.option("--verbose", is_flag=True, help="Show tracebacks.")
def amplitude(
    start: str | None, end: str | None, cluster: str | None, inbox: str | None, name: str | None,
    hours_per_request: int, partial: bool, force: bool, is_json: bool, verbose: bool,
) -> None:  # fmt: skip
    """Amplitude's Export API, hour by hour (AMPLITUDE_API_KEY, AMPLITUDE_SECRET_KEY).

    A whole day becomes one export, INBOX/amplitude-NAME-YYYY-MM-DD. Run it again at any time: hours that were answered
    are not asked for again. Exit code 1 when an hour could not be had or a pinned file is gone or changed.
    """
    with fail(verbose):
        from hindcast.fetch import Order
        from hindcast.fetch import fetch as run
        from hindcast.fetch_api import ExportApi

        settings = load_settings()
        first, last = read_window(settings, start, end)
        where = cluster or settings.amplitude_cluster
        with ExportApi(settings, where, notice=lambda text: click.echo(f"hindcast: {text}", err=True)) as api:
            order = Order(inbox or settings.inbox, first, last, name or where, hours_per_request, force, partial)
            with show_progress(is_json):
                summary = run(order, api)
        click.echo(json.dumps(asdict(summary)) if is_json else _describe(summary))
        for problem in summary.problems:
            click.echo(f"hindcast: {problem}", err=True)
        sys.exit(1 if summary.problems else 0)


def _describe(summary: "Summary") -> str:
    lines = [
        f"{summary.hours:,} hours: {summary.hours_downloaded:,} downloaded ({summary.files:,} files,"
        f" {summary.size_bytes:,} bytes), {summary.hours_empty:,} empty, {summary.hours_known:,} known already,"
        f" {summary.hours_not_yet:,} not over yet",
        f"{summary.requests:,} requests, {summary.retries:,} of them again, {summary.splits:,} ranges split",
    ]
    if summary.hours_to_ask_again:
        lines.append(f"{summary.hours_to_ask_again:,} hours are so young that the next fetch asks for them again")
    lines += [f"delivered: {day}" for day in summary.days_delivered]
    lines += [f"waiting: {day}, {hours} of 24 hours are certain" for day, hours in summary.days_waiting.items()]
    return "\n".join(lines + [f"note: {note}" for note in summary.notes])
