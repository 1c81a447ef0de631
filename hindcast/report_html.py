"""The report as one self-contained HTML page: no script, no outside resource, plots as inline SVG.

Everything in it may come from a hostile export: the template escapes all of it, control characters are made
visible before, and a content security policy forbids the page to load or run anything.
"""

from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from hindcast import report_format
from hindcast.report_facts import (
    books,
    completed,
    differing_months,
    tone,
    verdict,
    worst_first,
    writes_nothing,
)
from hindcast.report_manners import describe_manners
from hindcast.report_plot import Plot, plot_events

ROWS_SHOWN = 40  # longer tables of months go behind a fold, with the totals of each month before it
SAMPLES_SHOWN = 50  # of conflicts, differences and reject samples; report.json has all it was given


def render_html(report: dict[str, Any]) -> str:
    """Render the page. Missing keys, None and empty lists leave a section out or say what is not known."""
    facts = completed(report)
    return _template().render(
        report=facts,
        verdict=verdict(facts),
        books=books(facts),
        writes_nothing=writes_nothing(facts),
        differing_months=differing_months(facts),
        month_totals=_month_totals(facts["months"]),
        plots=_plots(facts["events_per_day"]),
        rejects=sorted(facts["rejects_by_reason"], key=lambda row: -(row["count"] or 0)),
        manners=describe_manners(facts),
        longest_step=max((value or 0 for value in facts["timings"].values()), default=0),
        rows_shown=ROWS_SHOWN,
        samples_shown=SAMPLES_SHOWN,
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = ("number", "signed", "size", "seconds", "milliseconds", "instant", "share", "count_of")
    environment.filters |= {name: getattr(report_format, name) for name in filters}
    environment.filters |= {"tone": tone, "worst_first": worst_first}
    return environment.get_template("report.html")


def _month_totals(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of each month added up; a figure no row of the month has stays None."""
    names = ("export", "table", "new", "already_there", "conflicting")
    totals = []
    for month, group in groupby(sorted(rows, key=_month_of), key=_month_of):
        same_month = list(group)
        total: dict[str, Any] = {
            "month": month,
            "event_type": report_format.count_of(len(same_month), "type"),
        }
        for name in names:
            known = [row[name] for row in same_month if row[name] is not None]
            total[name] = sum(known) if known else None
        totals.append(total)
    return totals


def _month_of(row: dict[str, Any]) -> str:
    return str(row["month"])


def _plots(days: list[dict[str, Any]]) -> dict[str, Plot]:
    """The plot for a wide and for a narrow page: one drawing scaled to both would have unreadable type."""
    wide, narrow = plot_events(days, 1080, 280), plot_events(days, 400, 240, days_limit=93)
    return {"wide": wide, "narrow": narrow} if wide and narrow else {}
