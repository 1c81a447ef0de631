"""`hindcast deliver`: replay an export to an HTTP ingestion API."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.terminal import fail, load_settings, show_progress

if TYPE_CHECKING:
    from hindcast.delivery.deliver import DeliverySpec
    from hindcast.delivery.statistics import Statistics
    from hindcast.settings import Settings


@click.command()
@click.option("-f", "--file", required=True, help="The export: a file, folder, glob or s3://bucket/prefix.")
@click.option("--to", "url", required=True, metavar="URL", help="Where one event is posted.")
@click.option("--concurrency", type=click.IntRange(1, 1000), default=10, show_default=True, help="Requests at once.")
@click.option("--sequential", is_flag=True, help="One request after the other, in the order of the export.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Events a second, at most.")
@click.option("--delay", type=click.FloatRange(0), default=0.0, help="Seconds that each sender rests after a request.")
@click.option(
    "--batch-size",
    type=click.IntRange(1, 1000),
    default=1,
    show_default=True,
    help="Events a request.",
)
@click.option("--batch-to", metavar="URL", help="Where batches are posted. Default: the --to address with /batch.")
@click.option("--limit", type=click.IntRange(1), help="Only the first so many records.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), default=30.0, show_default=True, help="Seconds.")
@click.option("--retries", type=click.IntRange(0, 100), default=8, show_default=True, help="Of a request, with jitter.")
@click.option("--header", "headers", multiple=True, metavar="NAME=VALUE", help="A header of every request. Repeatable.")
@click.option("--journal", type=click.Path(path_type=Path), help="What was acknowledged. Default: in HINDCAST_HOME.")
@click.option("--failed", type=click.Path(path_type=Path), help="Where failed records go; deliver that file again.")
@click.option("--again", "is_fresh", is_flag=True, help="Forget what was acknowledged before, and deliver everything.")
@click.option("--json", "is_json", is_flag=True, help="Print the statistics as one JSON object on stdout.")
def deliver(
    file: str, url: str, headers: tuple[str, ...], sequential: bool, concurrency: int, batch_size: int,
    batch_to: str | None, timeout: float, retries: int, is_json: bool, **others: Any,
) -> None:  # fmt: skip
    """Send an export's records to an HTTP API, each once; a delivery that broke off goes on with the same command.

    HINDCAST_DELIVER_API_KEY is sent as X-API-Key. Exit code 1 when some records were refused.
    """
    with fail():
        from hindcast.delivery.client import Target
        from hindcast.delivery.deliver import DeliverySpec, read_headers

        settings = load_settings()
        key = settings.deliver_api_key.get_secret_value() if settings.deliver_api_key else None
        batches = (batch_to or f"{url.rstrip('/')}/batch") if batch_size > 1 or batch_to else None
        target = Target(_check_url(url), batches, read_headers(_read_headers(headers), key), timeout, retries)
        spec = DeliverySpec(file, target, 1 if sequential else concurrency, batch_size, **others, progress=_tell)
        _deliver(spec, settings, is_json)


def _deliver(spec: "DeliverySpec", settings: "Settings", is_json: bool) -> None:
    from hindcast.delivery.deliver import deliver as send

    with show_progress(is_json):
        statistics, files = send(spec, settings)
    if is_json:
        click.echo(json.dumps(statistics.as_json() | {"failed_file": str(files.failed)}))
    else:
        _show(statistics)
    if statistics.failed:
        click.echo(
            f"hindcast: {statistics.failed:,} records were not accepted: {files.failed} (why: {files.reasons}); "
            f"deliver that file, or run the same command again",
            err=True,
        )
        sys.exit(1)


def _show(statistics: "Statistics") -> None:
    facts = statistics.as_json()
    before = f", {facts['acknowledged_before']:,} in an earlier attempt" if facts["acknowledged_before"] else ""
    click.echo(
        f"{facts['delivered']:,} of {facts['records']:,} records delivered, {facts['already_there']:,} were there "
        f"already, {facts['failed']:,} failed{before}"
    )
    latency = ", ".join(f"{name} {value:g}" for name, value in facts["latency_ms"].items())
    click.echo(
        f"{facts['events_per_second']:,} events/s for {facts['seconds']:,} s; {facts['requests']:,} requests, "
        f"{facts['retries']:,} of them retries"
    )
    if latency:
        click.echo(f"latency of a request in ms: {latency}")
    click.echo("answers: " + ", ".join(f"{answer}: {count:,}" for answer, count in facts["answers"].items()))
    for reason, count in facts["reasons"].items():
        click.echo(f"  {count:,} failed: {reason}")


def _tell(done: int, total: int) -> None:
    from hindcast.progress import tell

    tell("deliver", done, total)


def _check_url(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise click.BadParameter(f"{url!r}: expected http:// or https://", param_hint="--to")
    return url


def _read_headers(pairs: tuple[str, ...]) -> dict[str, str]:
    headers = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator:
            raise click.BadParameter(f"{name!r}: expected NAME=VALUE", param_hint="--header")
        headers[name] = value
    return headers
