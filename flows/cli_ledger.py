"""Commands that read the ledger: `hindcast runs`, `hindcast rejects`."""

import json

import click

from flows.terminal import fail, load_settings


@click.command()
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many, newest first.")
@click.option("--json", "is_json", is_flag=True, help="Print JSON lines.")
def runs(limit: int, is_json: bool) -> None:
    """List the runs of the target's ledger, newest first."""
    from hindcast.database import connect, require_schema, target_url
    from hindcast.ledger import list_runs

    with fail():
        settings = load_settings()
        url = target_url(settings)
        with connect(url, settings) as connection:
            require_schema(connection)
            found = list_runs(connection, limit)
    for run in found:
        if is_json:
            click.echo(json.dumps(run, default=str))
            continue
        counts = run["counts"]
        click.echo(
            f"{run['run_id']}  {run['started_at']:%Y-%m-%d %H:%M}  {run['status']:<11}  {run['dataset']:<20}"
            f"  loaded {counts.get('loaded', 0):>10,}  duplicate {counts.get('duplicate', 0):>10,}"
            f"  rejected {counts.get('rejected', 0):>8,}  {run['operator']}  {run['export']}"
        )
    if not found and not is_json:
        click.echo("no runs yet")


@click.command()
@click.option("--run", required=True, help="The run's id, or its beginning.")
@click.option("--json", "is_json", is_flag=True, help="Print JSON lines.")
def rejects(run: str, is_json: bool) -> None:
    """List the records a run set aside: file, line, byte offset, reason and (redacted) text."""
    from hindcast.database import connect, require_schema, target_url
    from hindcast.ledger import find_run, list_rejects

    with fail():
        settings = load_settings()
        url = target_url(settings)
        with connect(url, settings) as connection:
            require_schema(connection)
            for r in list_rejects(connection, find_run(connection, run)["run_id"]):
                if is_json:
                    click.echo(json.dumps(r))
                else:
                    place = f"{r['part']} line {r['line']} byte {r['byte_offset']}"
                    click.echo(f"{place}: {r['code']}: {r['sentence']}\n    {r['raw'][:200]}")
