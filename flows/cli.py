"""The `hindcast` command. Imports stay light: Prefect, Great Expectations and pandas load when a command needs them."""

import glob
import json
import sys
from pathlib import Path
from typing import Any

import click

from flows.cli_acceptance import acceptance
from flows.cli_capture import capture, capture_token, objects
from flows.cli_database import db, psql, stop_all
from flows.cli_deliver import deliver
from flows.cli_fetch import fetch
from flows.cli_generate import generate
from flows.cli_ledger import rejects, runs
from flows.cli_preflight import preflight
from flows.cli_s3_keys import s3_keys
from flows.cli_undo import archives, restore, rollback
from flows.cli_up import up
from flows.terminal import FormatName, call_flow, load_settings, prepared, show_progress, show_report
from hindcast.errors import ExportError, RunFailed
from hindcast.importing import without_collections


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="hindcast")
def cli() -> None:
    """Replay exported event history into an analytics PostgreSQL: gated, idempotent, proven.

    The target is DATABASE_URL; without it an embedded PostgreSQL in HINDCAST_HOME (default .hindcast) is used.

    Exit codes: 0 done; 1 the run failed (gate, verification, database); 2 wrong usage or configuration;
    130 interrupted, run it again to go on.
    """


@cli.command()
@click.option(
    "-f",
    "--file",
    required=True,
    help="A file, folder, glob or s3://bucket/prefix: .jsonl, .ndjson, .json, .http, plain or .gz, .zst, .zip.",
)
@click.option(
    "--format",
    "format_",
    type=FormatName(),
    help="What wrote the export. Default: detected, with its evidence shown.",
)
@click.option("--dataset", help="A name for reports and the ledger. Default: the format's.")
@click.option(
    "--window", metavar="START..END", help="Only events in [START, END), UTC; the others are counted and left."
)
@click.option(
    "--chunk",
    type=click.IntRange(1, 1_000_000),
    help="Records a transaction. Default: ANALYTICS_IMPORT_CHUNK_SIZE or 10000.",
)
@click.option("--limit", type=click.IntRange(1), help="Stop reading after so many records.")
@click.option("--dry-run", is_flag=True, help="Read and gate the export; open no database.")
@click.option(
    "--plan",
    "is_plan",
    is_flag=True,
    help="A dry run that also compares with the target: new, already there, conflicting.",
)
@click.option(
    "--on-conflict",
    type=click.Choice(["keep", "replace", "fail"]),
    default="keep",
    show_default=True,
    help="When a record contradicts a row of the table: keep the row, replace it (the old one is archived), or fail.",
)
@click.option("--strict", is_flag=True, help="Fail when any record is rejected.")
@click.option("--tenant", default="", help="Whose events these are, where the format does not say.")
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="An option of the format's own, such as scrub_pii=false. Repeatable.",
)
@click.option("--operator", help="Your initials, for the ledger and the health report. Default: HINDCAST_OPERATOR.")
@click.option("--new-run", is_flag=True, help="Start afresh although an unfinished run of this export exists.")
@click.option(
    "--wait",
    type=click.FloatRange(0, 1440),
    default=0,
    metavar="MINUTES",
    help="How long to wait for another run that is writing. Default: not at all.",
)
@click.option("--verbose", is_flag=True, help="Show every rejected record, the steps' logs, and tracebacks.")
@click.option(
    "--json",
    "is_json",
    is_flag=True,
    help="Print the whole report as one JSON object on stdout, and nothing else there.",
)
def backfill(
    file: str, format_: str | None, is_plan: bool, dry_run: bool, options: tuple[str, ...], operator: str | None,
    verbose: bool, is_json: bool, new_run: bool, wait: float, **others: Any,
) -> None:  # fmt: skip
    """Bring an export into the target: extract, gate, load, rebuild rollups, verify, report.

    Safe to run again at any time: after a crash it goes on where it stopped, after success it loads nothing twice.
    """
    parameters = {
        "file": file if file.startswith("s3://") else str(Path(file).absolute()),
        "format": format_,
        "options": _read_pairs(options),
        **others,
    }
    with prepared(verbose, lambda _: _check_early(parameters["file"], parameters["window"])) as settings:
        parameters["operator"] = operator or settings.operator
        if dry_run or is_plan:
            with without_collections("flows"):
                from flows.validate_export import validate_export

            run_flow(validate_export, parameters | {"compare": is_plan}, verbose, is_json)
        else:
            with without_collections("flows"):
                from flows.backfill import backfill as flow

            run_flow(flow, parameters | {"new_run": new_run, "wait": wait}, verbose, is_json)


@cli.command()
@click.option("--run", required=True, help="The run's id, or its beginning (see `hindcast runs`).")
@click.option("--verbose", is_flag=True, help="Show the steps' logs and tracebacks.")
@click.option("--json", "is_json", is_flag=True, help="Print the whole report as one JSON object on stdout.")
def verify(run: str, verbose: bool, is_json: bool) -> None:
    """Compare the table with a run's export again, every row; names the first rows that differ. Reads only."""
    with prepared(verbose):
        with without_collections("flows"):
            from flows.verify import verify as flow

        run_flow(flow, {"run": run}, verbose, is_json)


@cli.command()
@click.option("--once", is_flag=True, required=True, help="Rebuild now and end (a schedule belongs to a deployment).")
@click.option(
    "--window", metavar="START..END", help="Only days in [START, END), UTC. Default: every day that has rows."
)
@click.option("--verbose", is_flag=True, help="Show the steps' logs and tracebacks.")
@click.option("--json", "is_json", is_flag=True, help="Print the proofs as JSON on stdout.")
def rollup(once: bool, window: str | None, verbose: bool, is_json: bool) -> None:
    """Rebuild the rollups and prove each equal to a GROUP BY of the raw rows. One transaction a rollup."""
    from hindcast.window import parse_window

    with prepared(verbose, lambda _: parse_window(window)):
        from flows.private_server import await_private_server

        with without_collections("flows"):
            from flows.rollup import rollup as flow

        await_private_server()
        proofs = flow(window or "")
        if is_json:
            click.echo(json.dumps(proofs))
            return
        for proof in proofs:
            click.echo(f"{proof['rollup']}: {proof['rows']:,} rows in {proof['buckets']:,} days, equal to the raw rows")


def run_flow(flow: Any, parameters: dict[str, Any], is_verbose: bool, is_json: bool) -> None:
    """Run a flow in this process, with progress, and show its report."""
    from flows.job import ready_workers, warm_up_gates
    from flows.private_server import await_private_server

    try:
        with ready_workers(load_settings()):
            warm_up_gates()
            await_private_server()
            with show_progress(is_json):
                path = call_flow(flow, {name: value for name, value in parameters.items() if value is not None})
    except RunFailed as error:
        show_report(Path(error.report_path), is_json, is_verbose)
        click.echo(f"hindcast: {error}", err=True)
        sys.exit(error.exit_code)
    show_report(Path(path), is_json, is_verbose)


def _check_early(file: str, window: str | None) -> None:
    """Tell a slip at once, not when Prefect has started."""
    from hindcast.window import parse_window

    parse_window(window)
    if not (file.startswith("s3://") or glob.has_magic(file) or Path(file).exists()):
        raise ExportError(f"{file}: no such file or folder")


def _read_pairs(options: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for option in options:
        name, separator, value = option.partition("=")
        if not separator:
            raise click.BadParameter(f"{option!r}: expected NAME=VALUE", param_hint="--option")
        pairs[name] = value
    return pairs


for command in (
    rollback,
    restore,
    archives,
    db,
    deliver,
    fetch,
    generate,
    preflight,
    psql,
    runs,
    rejects,
    up,
    capture,
    capture_token,
    objects,
    s3_keys,
    acceptance,
    stop_all,
):
    cli.add_command(command)


def main() -> None:
    """The console script."""
    cli()


if __name__ == "__main__":
    main()
