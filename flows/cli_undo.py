"""Commands that undo: `hindcast rollback`, `hindcast restore`, `hindcast archives`."""

import json
from pathlib import Path
from typing import Any

import click

from flows.terminal import call_flow, fail, load_settings, prepared, show_progress
from hindcast.importing import without_collections


@click.command()
@click.option("--run", help="The run's id, or its beginning (see `hindcast runs`).")
@click.option("--window", metavar="START..END", help="Rows in [START, END), UTC; alone, or to narrow a run.")
@click.option("--source", help="Only rows of this source, such as analytics_history.")
@click.option("--event-type", help="Only rows of this event type.")
@click.option("--tenant", help="Only rows of this tenant.")
@click.option("--include-live", is_flag=True, help="Also rows that the live platform wrote. Only with --window.")
@click.option("--allow-overlap", is_flag=True, help="Go on although later runs are concerned (the preview names them).")
@click.option("--apply", "is_applied", is_flag=True, help="Do it. Without this nothing is changed.")
@click.option("--operator", help="Your initials, for the ledger. Default: HINDCAST_OPERATOR.")
@click.option("--verbose", is_flag=True, help="Show the steps' logs and tracebacks.")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object on stdout, and nothing else there.")
def rollback(
    run: str | None, window: str | None, is_applied: bool, verbose: bool, is_json: bool, operator: str | None,
    allow_overlap: bool, **filters: Any,
) -> None:  # fmt: skip
    """Take the rows of a run or of a window out of the table. Shows what would go; --apply does it.

    Rows are archived first, and the archive is read again before the first of them goes: `hindcast restore` puts them
    back exactly as they were. Killed at any moment, the same command goes on. Rows of the live platform stay.
    """
    if is_applied:
        _apply(
            filters | {"run": run, "window": window, "allow_overlap": allow_overlap, "operator": operator},
            verbose,
            is_json,
        )
        return
    from hindcast.database import connect, require_schema, target_url
    from hindcast.preview import make_preview
    from hindcast.selection import Selection, check_selection, find_selection
    from hindcast.undo_text import render_preview

    with fail(verbose):
        selection = Selection(None, check_selection(run, window, filters["include_live"]), **filters)
        settings = load_settings()
        url = target_url(settings)
        with connect(url, settings) as connection:
            require_schema(connection)
            preview = make_preview(connection, find_selection(connection, run, selection), settings)
    click.echo(json.dumps(preview.as_json(), default=str) if is_json else render_preview(preview))


@click.command()
@click.argument("archive")
@click.option("--operator", help="Your initials, for the ledger. Default: HINDCAST_OPERATOR.")
@click.option("--verbose", is_flag=True, help="Show the steps' logs and tracebacks.")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object on stdout, and nothing else there.")
def restore(archive: str, operator: str | None, verbose: bool, is_json: bool) -> None:
    """Put the rows of ARCHIVE back exactly as they were, rebuild their rollups, and prove both.

    ARCHIVE is an id (or its beginning, see `hindcast archives`), or an archive's folder or s3:// prefix. Twice changes
    nothing. A row that is there with other content is named and left.
    """
    with prepared(verbose):
        from flows.private_server import await_private_server

        with without_collections("flows"):
            from flows.restore import restore as flow
        from hindcast.undo_text import render_restore

        place = archive if archive.startswith("s3://") or "/" not in archive else str(Path(archive).absolute())
        await_private_server()
        with show_progress(is_json):
            report = call_flow(flow, {"archive": place, "operator": operator})
        click.echo(json.dumps(report, default=str) if is_json else render_restore(report))


@click.command()
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many, newest first.")
@click.option("--json", "is_json", is_flag=True, help="Print JSON lines.")
def archives(limit: int, is_json: bool) -> None:
    """List the archives of rows that were rolled back, newest first."""
    from hindcast.archive_ledger import list_archives
    from hindcast.database import connect, require_schema, target_url
    from hindcast.report_format import size
    from hindcast.selection import read_selection

    with fail():
        settings = load_settings()
        url = target_url(settings)
        with connect(url, settings) as connection:
            require_schema(connection)
            found = list_archives(connection, limit)
    for archive in found:
        if is_json:
            click.echo(json.dumps(archive, default=str))
            continue
        click.echo(
            f"{archive['archive_id']}  {archive['created_at']:%Y-%m-%d %H:%M}  {archive['status']:<9}"
            f"  {archive['rows'] or 0:>12,} rows  {size(archive['size_bytes']):>9}"
            f"  {read_selection(archive['selection']).describe()}"
        )
    if not found and not is_json:
        click.echo("no archives yet")


def _apply(parameters: dict[str, Any], is_verbose: bool, is_json: bool) -> None:
    from hindcast.selection import check_selection

    def check(_: object) -> None:
        check_selection(parameters["run"], parameters["window"], parameters["include_live"])

    with prepared(is_verbose, check):
        from flows.private_server import await_private_server

        with without_collections("flows"):
            from flows.rollback import rollback as flow
        from hindcast.undo_text import render_rollback

        await_private_server()
        with show_progress(is_json):
            given = {name: value for name, value in parameters.items() if value is not None}
            report = call_flow(flow, given | {"mode": "apply", "confirm": "given"})
        click.echo(json.dumps(report, default=str) if is_json else render_rollback(report))
