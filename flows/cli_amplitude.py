"""`hindcast generate amplitude`: scenario sets for identify events, and volume."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.terminal import fail, load_settings

if TYPE_CHECKING:
    from hindcast.settings import Settings

MOMENT = "now, 'N minutes|hours|days|weeks|months|years ago', YYYY-MM-DD, or ISO 8601."


@click.command("amplitude")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Where to write: .zip, as the Export API does, .json.gz, or a new folder (a name without an ending)."
    " The answer key goes to OUT.answers.json.",
)
@click.option(
    "--set",
    "set_",
    type=click.Choice(["documented", "original"]),
    default="documented",
    show_default=True,
    help="The seven scenarios: 45 events and 30 pairs of user and device, or 48 and 33.",
)
@click.option("--with-blank-ids", is_flag=True, help="Five more events, whose ids are null, empty or blank.")
@click.option("--count", type=click.IntRange(1), help="Instead of a set: so many records of an ordinary shop.")
@click.option("--start", help=f"Start of the events' times: {MOMENT} Default: AMPLITUDE_START_TIME, or yesterday.")
@click.option("--end", help="Their end, not included. Default: AMPLITUDE_END_TIME, or the end of yesterday.")
@click.option(
    "--seed", type=click.IntRange(0), default=1, show_default=True, help="The same seed gives the same bytes."
)
@click.option("--defects/--no-defects", default=True, show_default=True, help="With --count: plant odd records.")
@click.option("--send", is_flag=True, help="Send the set to Amplitude (AMPLITUDE_API_KEY, AMPLITUDE_CLUSTER).")
@click.option("--server-url", help="With --send: where to, instead. Default: HINDCAST_AMPLITUDE_SERVER_URL.")
def amplitude(
    out: Path | None, set_: str, with_blank_ids: bool, count: int | None, start: str | None, end: str | None,
    seed: int, defects: bool, send: bool, server_url: str | None,
) -> None:  # fmt: skip
    """Amplitude: a zip of hourly .json.gz members of JSON lines."""

    with fail():
        if out is None and not send:
            raise click.UsageError("--out or --send: one of them is needed")
        if send and count:
            raise click.UsageError("--send: sends a set; leave --count out")
        settings = load_settings()
        if server_url:
            settings = settings.model_copy(update={"amplitude_server_url": server_url})
        first, last = read_window(settings, start, end)
        if count:
            from flows.generator_options import write_and_tell
            from hindcast.synthetic import GenerateSpec

            assert out
            write_and_tell(GenerateSpec("amplitude", count, seed, out, first, last, defects))
            return
        if out:
            _write_set(out, set_, first, last, seed, with_blank_ids)
        if send:
            _send_set(settings, set_, first, last, seed, with_blank_ids)


def read_window(settings: "Settings", start: str | None, end: str | None) -> tuple[datetime, datetime]:
    """The window asked for, or configured, or yesterday; raises ConfigurationError when it is none."""
    from hindcast.errors import ConfigurationError
    from hindcast.relative_times import parse_moment

    now = datetime.now(UTC)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    start, end = start or settings.amplitude_start_time, end or settings.amplitude_end_time
    last = parse_moment(end, now) if end else today
    first = parse_moment(start, now) if start else min(today, last) - timedelta(days=1)
    if first >= last:
        raise ConfigurationError(f"--start {first:%Y-%m-%d %H:%M}: not before --end {last:%Y-%m-%d %H:%M}")
    return first, last


def _write_set(out: Path, name: str, first: datetime, last: datetime, seed: int, with_blank_ids: bool) -> None:
    from hindcast.synthetic.amplitude_set import ScenarioSpec, generate_scenarios

    answers = generate_scenarios(ScenarioSpec(name, first, last, seed, with_blank_ids), out)
    click.echo(f"{out}: {answers.lines:,} events, {answers.derived:,} identify events; key in {out}.answers.json")


def _send_set(
    settings: "Settings", name: str, first: datetime, last: datetime, seed: int, with_blank_ids: bool
) -> None:
    from hindcast.amplitude_sender import send_events
    from hindcast.errors import HindcastError
    from hindcast.synthetic.amplitude_scenarios import scenario_events

    events = scenario_events(name, first, last, with_blank_ids)
    delivery = send_events(events, settings, f"{name}-{seed}")
    click.echo(f"Amplitude ({settings.amplitude_cluster}): {delivery.sent:,} of {len(events):,} events sent")
    for reason, count in delivery.reasons.most_common():
        click.echo(f"  {count:,} not sent: {reason}", err=True)
    if delivery.failed:
        raise HindcastError(f"{delivery.failed:,} of {len(events):,} events were not accepted")
