"""`--publish`: the figures as docs/benchmarks.json, its plot, and between two marks of docs/benchmarks.md."""

import json
from pathlib import Path
from typing import Any, Final

from bench.plot import draw
from bench.show import render_figures

BEGIN: Final = "<!-- figures: written by `python -m bench --publish` -->"
END: Final = "<!-- end of the figures -->"


def publish(result: dict[str, Any], docs: Path) -> list[Path]:
    """Write the three files; what the page says outside the marks is left as it is."""
    page, figures, plot = docs / "benchmarks.md", docs / "benchmarks.json", docs / "images" / "benchmarks.svg"
    figures.write_text(json.dumps(result, indent=1) + "\n")
    plot.write_text(draw(result))
    page.write_text(replace_figures(page.read_text(), result))
    return [page, figures, plot]


def replace_figures(text: str, result: dict[str, Any]) -> str:
    """The page with new figures; raises ValueError when it lacks the marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{_describe(result)}\n{render_figures(result)}\n{END}{after}"


def _describe(result: dict[str, Any]) -> str:
    machine = result["machine"]
    settings = ", ".join(f"`{name}={value}`" for name, value in machine["postgresql_settings"].items())
    ours = ", ".join(f"`{name}={value}`" for name, value in machine["settings"].items()) or "the defaults"
    return (
        f"Measured {result['measured_at'][:10]}: {result['events']:,} events"
        f" ({result['export_bytes'] / 1e6:,.0f} MB of JSON lines), peers {result['peer_events']:,} rows; medians of"
        f" {result['rounds']} rounds; seed {result['seed']}.\n\n"
        "![Events a second, by way of loading](images/benchmarks.svg)\n\n"
        f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB,"
        f" {machine['filesystem']}, {machine['system']}; Python {machine['python']}; PostgreSQL"
        f" {machine['postgresql']} with {settings}; load average at the start {machine['load_average']}."
        f" Settings of ours: {ours}.\n"
    )
