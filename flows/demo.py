"""`make demo`: a generated export with planted defects, a real backfill of it, and the report marked by its key."""

import json
import sys
from pathlib import Path

import click

from flows.private_server import await_private_server
from flows.terminal import prepared, show_progress, show_report
from hindcast.errors import RunFailed

RECORDS = 200_000
SEED = 2024


def demo() -> int:
    """Run it; returns the exit code: 0 when the report equals the answer key."""
    with prepared(is_verbose=False) as settings:
        export = settings.home / "demo" / "history.jsonl"
        answers = make_export(export)
        click.echo("2/3  backfilling it into the target (Prefect takes its seconds to start)", err=True)
        from flows.backfill import backfill

        await_private_server()
        try:
            with show_progress(is_json=False):
                path = Path(str(backfill(str(export), operator="DEMO", dataset="demo")))
        except RunFailed as error:
            show_report(Path(error.report_path), is_json=False, is_verbose=False)
            click.echo(f"hindcast: {error}", err=True)
            return error.exit_code
        show_report(path, is_json=False, is_verbose=False)
        return mark(path, answers)


def make_export(export: Path) -> Path:
    """Generate the export unless it is there; returns the path of its answer key."""
    from hindcast.synthetic import GenerateSpec, generate

    answers = export.with_name(export.name + ".answers.json")
    if export.exists() and answers.exists():
        click.echo(f"1/3  the export is there already: {export}", err=True)
        return answers
    click.echo(f"1/3  generating {RECORDS:,} events with planted defects and their answer key", err=True)
    export.parent.mkdir(parents=True, exist_ok=True)
    generate(GenerateSpec("analytics_history", RECORDS, SEED, export))
    return answers


def mark(report_path: Path, answers: Path) -> int:
    """Mark the report by the key and say so."""
    from hindcast.synthetic.marking import mark_report

    report = json.loads(report_path.with_suffix(".json").read_text())
    wrong = mark_report(report, json.loads(answers.read_text()))
    if wrong:
        click.echo("3/3  the report is NOT what the answer key says:\n     " + "\n     ".join(wrong))
        return 1
    click.echo("3/3  the report equals the answer key in every count")
    if not report["loaded"]:
        click.echo("     everything was loaded already: nothing was written twice")
    click.echo(f"     open the report: {report_path}")
    return 0


if __name__ == "__main__":
    sys.exit(demo())
