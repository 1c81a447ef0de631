"""`hindcast acceptance`: the acceptance suite of LLM analytics."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from flows.terminal import prepared, show_progress
from hindcast.errors import RunFailed

if TYPE_CHECKING:
    from hindcast.acceptance.outcome import Mode
    from hindcast.settings import Settings


@click.command()
@click.option(
    "--mode",
    type=click.Choice(["local", "production"]),
    help="local: this project's endpoint and store, with teams of its own. production: only reads. Default:"
    " LLMA_TEST_MODE or local.",
)
@click.option("--json", "is_json", is_flag=True, help="Print the report as one JSON object on stdout.")
@click.option("--verbose", is_flag=True, help="Show the steps' logs and tracebacks.")
def acceptance(mode: str | None, is_json: bool, verbose: bool) -> None:
    """Check that captured LLM events are stored, readable and isolated: phase by phase, each only if all before passed.

    Exit codes: 0 all passed; 1 a check failed; 2 wrong usage or configuration.
    """

    def check(settings: "Settings") -> None:
        if (mode or settings.llma_test_mode) == "production":
            from hindcast.acceptance.production import read_access

            read_access(settings)

    with prepared(verbose, check) as settings:
        mode = mode or settings.llma_test_mode
        from flows.acceptance import acceptance as flow
        from flows.private_server import await_private_server

        await_private_server()
        try:
            with show_progress(is_json):
                path = Path(flow(mode=cast("Mode", mode)))
        except RunFailed as error:
            _show(Path(error.report_path), is_json)
            click.echo(f"hindcast: {error}; the report is {error.report_path}", err=True)
            sys.exit(error.exit_code)
        _show(path, is_json)


def _show(path: Path, is_json: bool) -> None:
    click.echo((path.with_suffix(".json") if is_json else path).read_text(), nl=False)
