"""The report of a run: one dict of facts, written as JSON for machines and as one HTML page for people.

`hindcast.report_facts` holds its shape; `render_markdown` and `render_summary` say the same elsewhere.
"""

import json
from pathlib import Path
from typing import Any

from hindcast.atomic import write_atomically
from hindcast.report_format import plain
from hindcast.report_html import render_html
from hindcast.report_text import describe_gate, render_markdown, render_summary, tabulate_gate

__all__ = ["describe_gate", "render_html", "render_markdown", "render_summary", "tabulate_gate", "write_report"]


def write_report(report: dict[str, Any], folder: Path) -> Path:
    """Write `report.json` and `report.html` into `folder` and return the page's path.

    Each file is replaced atomically; safe to run twice. A failed run's report may lack keys or hold None.
    The JSON holds the report as given; only the page makes control characters visible and cuts long text.
    """
    facts = plain(report)
    page = render_html(report)
    folder.mkdir(parents=True, exist_ok=True)
    # ASCII escapes keep lone surrogates, which UTF-8 cannot hold
    write_atomically(folder / "report.json", json.dumps(facts, indent=1, allow_nan=False).encode() + b"\n")
    path = folder / "report.html"
    write_atomically(path, page.encode())
    return path
