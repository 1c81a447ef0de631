"""`hindcast up`: the Prefect server, the deployments and the workers, in one command."""

import contextlib
import os
import signal
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from flows.terminal import fail, load_settings

if TYPE_CHECKING:
    from flows.launcher import Launcher
    from flows.registration import Deployed
    from hindcast.settings import Settings


@click.command()
@click.option(
    "--port", type=click.IntRange(1, 65_535), default=4200, show_default=True, help="Of the UI, on this machine only."
)
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Worker processes that start runs."
)
def up(port: int, workers: int) -> None:
    """Start Prefect's server and UI, register the deployments, start workers; Ctrl-C stops all of it.

    Runs work in the current folder, with its .env. While this runs, other commands with the same HINDCAST_HOME use its
    server, so that their runs appear in the UI too.
    """
    with fail():
        from flows.environment import announced, find_live_server, prepare_prefect
        from flows.launcher import Launcher, find_prefect_file, fresh_logs
        from flows.prefect_tables import make_tables
        from flows.private_server import end_lasting_server
        from hindcast.errors import ConfigurationError, HindcastError
        from hindcast.sockets import require_free_port

        settings = load_settings()
        running = find_live_server(settings)
        if running:
            raise ConfigurationError(f"it is up already: {running.ui_url} (pid {running.pid}); Ctrl-C there stops it")
        require_free_port(port)
        with contextlib.suppress(HindcastError):  # one that a command uses ends by itself afterwards
            end_lasting_server(settings.home)
        folder = Path.cwd()
        logs = settings.home / "prefect"
        launcher = Launcher(port, workers, logs, folder, find_prefect_file(folder))
        with fresh_logs(logs):
            _set_environment(settings, launcher)
            prepare_prefect(settings, is_verbose=True)
            make_tables(Path(os.environ["PREFECT_HOME"]))
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # a background job is born deaf to SIGINT
                signal.signal(number, _interrupt)
            try:
                deployments = _start(launcher)
                with announced(settings, launcher.ui_url, launcher.api_url):
                    _show(launcher, deployments)
                    launcher.watch()
            except KeyboardInterrupt:
                _tell("stopping")
            finally:
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.SIG_IGN)  # what is begun is finished: it takes seconds
                launcher.stop(_tell)
            _tell("stopped; the embedded PostgreSQL, if it runs, goes on (`hindcast db stop`)")


def _start(launcher: "Launcher") -> "list[Deployed]":
    began = time.monotonic()
    _tell(f"starting Prefect's server on {launcher.ui_url}")
    launcher.start_server()
    from flows.launcher import POOL
    from flows.registration import list_deployments, register_pool, register_watch  # seconds, meanwhile

    launcher.await_server()
    register_pool(POOL)
    launcher.start_workers()  # they import for seconds, meanwhile
    _tell(f"registering the deployments of {launcher.prefect_file}")
    launcher.deploy()
    register_watch()
    deployments = list_deployments()
    _tell(f"ready after {time.monotonic() - began:.0f} s")
    return deployments


def _show(launcher: "Launcher", deployments: "list[Deployed]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("deployment", "schedule", "what it does", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for deployment in deployments:
        sentence = deployment.description.split(". ")[0].rstrip(".")
        table.add_row(deployment.name, deployment.schedule or "by hand", sentence)
    Console().print(table)
    click.echo(f"\nUI    {launcher.ui_url}\nlogs  {launcher.logs}\nCtrl-C stops server and workers.")


def _set_environment(settings: "Settings", launcher: "Launcher") -> None:
    """What the server and the workers need beyond what every command sets."""
    os.environ["HINDCAST_HOME"] = str(settings.home)  # a relative one would be looked for where runs work
    os.environ["PREFECT_API_URL"] = launcher.api_url  # also when another server is configured: this is ours
    defaults = {
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",  # flows/registration.py watches them
        "PREFECT_WORKER_QUERY_SECONDS": "2",  # a person waits
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _tell(text: str) -> None:
    click.echo(f"hindcast: {text}", err=True)
