"""What the shell sees: progress bars on stderr, the report's summary, errors as one line."""

import contextlib
import json
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.interrupt import INTERRUPTED, SENTENCE
from hindcast.errors import ConfigurationError, HindcastError
from hindcast.progress import listening

if TYPE_CHECKING:
    from hindcast.settings import Settings

STEPS = {
    "extract": "reading and checking",
    "gate": "gates",
    "compare": "comparing",
    "load": "loading",
    "rollup": "rollups",
    "verify": "verifying",
    "archive": "archiving",
    "read again": "reading the archive",
    "delete": "deleting",
    "free space": "giving back space",
    "restore": "restoring",
    "keep": "keeping the export",
    "deliver": "delivering",
    "fetch": "fetching hours",
}


def load_settings() -> "Settings":
    """The settings, imported when they are read: pydantic is half of what `hindcast --help` would take."""
    from hindcast.settings import load_settings as load

    return load()


class FormatName(click.ParamType[str]):
    """The name of a format; the formats are imported when one is given or a command's help lists them."""

    name = "format"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name, if there is such a format; else click's error with the known ones."""
        return str(self._choice().convert(value, param, ctx))

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:
        """The names, as click shows a choice."""
        return self._choice().get_metavar(param, ctx)

    def _choice(self) -> "click.Choice[str]":
        from hindcast.formats import FORMATS

        return click.Choice(sorted(FORMATS))


@contextlib.contextmanager
def fail(is_verbose: bool | None = None) -> Iterator[None]:
    """Show an error as one line and exit with its code; with --verbose its traceback too.

    None says that the command has no --verbose: the traceback of an error that is not ours is then shown.
    """
    try:
        yield
    except HindcastError as error:
        if is_verbose:
            traceback.print_exc()
        click.echo(f"hindcast: {error}", err=True)
        sys.exit(error.exit_code)
    except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
        raise  # click's own ways to end
    except KeyboardInterrupt:
        click.echo(SENTENCE, err=True)
        sys.exit(INTERRUPTED)
    except Exception as error:  # noqa: BLE001  # the shell's last resort: a line and an exit code
        if is_verbose is not False:
            traceback.print_exc()
        hint = "; run with --verbose for the traceback" if is_verbose is False else ""
        click.echo(f"hindcast: unexpected {_one_line(error)}{hint}", err=True)
        sys.exit(1)


@contextlib.contextmanager
def prepared(is_verbose: bool, check: "Callable[[Settings], object] | None" = None) -> "Iterator[Settings]":
    """Settings read, Prefect's environment set and its server starting; errors shown as one line.

    `check` raises what needs no server to be seen: none is then started.
    """
    with fail(is_verbose):
        from flows.environment import prepare_prefect
        from flows.interrupt import leaving_promptly
        from flows.private_server import start_private_server

        with leaving_promptly():
            settings = load_settings()
            if check:
                check(settings)
            settings.home.mkdir(parents=True, exist_ok=True)
            prepare_prefect(settings, is_verbose)
            start_private_server(settings)
            yield settings


def call_flow(flow: Any, parameters: dict[str, Any]) -> Any:
    """Call a flow; what its form would refuse is told as the slip that it is."""
    from prefect.exceptions import ParameterTypeError

    try:
        return flow(**parameters)
    except ParameterTypeError as error:
        refused = [line.removeprefix(" - ") for line in str(error).splitlines()[1:]]
        raise ConfigurationError("; ".join(f"--{line}" for line in refused) + " (see --help)") from None


@contextlib.contextmanager
def show_progress(is_json: bool) -> Iterator[None]:
    """Show a bar a step on stderr; on a pipe, a line when a step begins and ends."""
    if is_json or not sys.stderr.isatty():
        with listening(_Lines(is_silent=is_json)):
            yield
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:<22}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        starting = progress.add_task("starting", total=None)
        bars: dict[str, object] = {}

        def listener(step: str, done: int, total: int) -> None:
            progress.update(starting, visible=False)
            if step not in bars:
                bars[step] = progress.add_task(STEPS.get(step, step), total=max(total, 1))
            progress.update(bars[step], completed=done if total else 1)  # type: ignore[arg-type]  # an id of rich's

        with listening(listener):
            yield


def show_report(path: Path, is_json: bool, is_verbose: bool) -> None:
    """Print a report: its JSON alone, or the summary (and with --verbose every rejected record)."""
    report = json.loads(path.with_suffix(".json").read_text())
    if is_json:
        click.echo(json.dumps(report))
        return
    from hindcast.report import render_summary

    rejects = path.with_name("rejects.jsonl")
    if is_verbose and rejects.exists():
        with rejects.open() as lines:
            for line in lines:
                r = json.loads(line)
                click.echo(f"{r['part']} line {r['line']} byte {r['byte_offset']}: {r['code']}: {r['sentence']}")
        for reason, count in (report.get("skipped_by_reason") or {}).items():
            click.echo(f"skipped {count:,}: {reason}")
    click.echo(render_summary(report))


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


class _Lines:
    def __init__(self, is_silent: bool) -> None:
        self._is_silent = is_silent
        self._ended: set[str] = set()
        self._begun: set[str] = set()

    def __call__(self, step: str, done: int, total: int) -> None:
        if self._is_silent:
            return
        name = STEPS.get(step, step)
        if step not in self._begun:
            self._begun.add(step)
            click.echo(f"{name} ...", err=True)
        if done >= total and step not in self._ended and total:
            self._ended.add(step)
            click.echo(f"{name}: done", err=True)
