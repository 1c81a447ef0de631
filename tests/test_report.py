"""The report says the same in HTML, Markdown and text, judges by its figures, and trusts no text."""

import json
import re
from copy import deepcopy
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy
import pytest

from hindcast import report_format
from hindcast.atomic import write_atomically
from hindcast.report import render_html, render_markdown, render_summary, write_report
from hindcast.report_plot import plot_events

EXAMPLE = json.loads((Path(__file__).parent / "data" / "report-example.json").read_text())
RENDERERS = (render_html, render_markdown, render_summary)
HOSTILE = "</pre><script>alert('x')</script>|\u202e\x1b[31m`\ud800"


@pytest.fixture
def report() -> dict[str, Any]:
    return deepcopy(EXAMPLE)


class _Page(HTMLParser):
    """The tags and the attributes of a page, and whether every tag is closed in order."""

    VOID = frozenset({"meta", "link", "br", "line", "rect"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def hostile(value: Any) -> Any:
    """The same report with every text outside the figures replaced by a hostile one."""
    if isinstance(value, dict):
        kept = ("day", "status", "started_at")
        return {key: item if key in kept else hostile(item) for key, item in value.items()}
    if isinstance(value, list):
        return [hostile(item) for item in value]
    return HOSTILE if isinstance(value, str) else value


def test_write_report_leaves_the_facts_as_json_and_the_page_beside_them(report, tmp_path):
    page = write_report(report, tmp_path / "reports" / "run")

    assert page == tmp_path / "reports" / "run" / "report.html"
    assert json.loads(page.with_name("report.json").read_text()) == report
    assert {file.name for file in page.parent.iterdir()} == {"report.html", "report.json"}


def test_numpy_scalars_and_not_a_number_are_written_as_valid_json(report, tmp_path):
    report["loaded"] = numpy.int64(7)
    report["gates"][0]["checks"][0]["observed"] = float("nan")
    page = write_report(report, tmp_path)

    written = json.loads(page.with_name("report.json").read_text(), parse_constant=pytest.fail)
    assert written["loaded"] == 7
    assert written["gates"][0]["checks"][0]["observed"] == "nan"


def test_the_page_is_well_formed_and_fetches_nothing(report):
    page = _Page(render_html(report))

    assert page.open == []
    assert not {"script", "img", "iframe", "object", "base", "form", "a"} & set(page.tags)
    addresses = [value for name, value in page.attributes if name in ("src", "href", "action", "xlink:href")]
    assert addresses == ["data:,"]


def test_a_hostile_export_cannot_add_a_tag_or_hide_text(report):
    clean, dirty = _Page(render_html(report)), render_html(hostile(report))

    assert "script" not in _Page(dirty).tags
    assert set(_Page(dirty).tags) <= set(clean.tags)
    assert "\\u202e\\u001b[31m" in dirty
    dirty.encode()


def test_the_terminal_gets_no_control_characters_from_an_export(report):
    summary = render_summary(hostile(report))

    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", summary)


def test_a_hostile_export_cannot_break_a_markdown_table_or_start_a_link(report):
    report["rejects_by_reason"][0]["samples"][0]["sentence"] = "a|b\n\n# c `d` ![e](http://f) <img>"
    row = next(line for line in render_markdown(report).splitlines() if "invalid\\_time | 61" in line)

    assert len(re.findall(r"(?<!\\)\|", row)) == 5
    assert r"a\|b \# c \`d\` \!\[e\](http:" in row
    assert "://" not in row
    assert r"\<img\>" in row


@pytest.mark.parametrize("render", RENDERERS)
def test_every_key_may_be_missing(render):
    assert render({})


@pytest.mark.parametrize("render", RENDERERS)
def test_every_value_may_be_null_or_empty_on_its_own(render, report):
    for key in EXAMPLE:
        assert render({**report, key: None})
        if isinstance(EXAMPLE[key], list | dict) and key != "window":
            assert render({**report, key: type(EXAMPLE[key])()})


@pytest.mark.parametrize("render", RENDERERS)
def test_every_field_of_a_row_may_be_null(render, report):
    for key, value in EXAMPLE.items():
        if isinstance(value, list) and value and isinstance(value[0], dict) and key != "events_per_day":
            assert render({**report, key: [dict.fromkeys(row) for row in value]})


@pytest.mark.parametrize("render", RENDERERS)
def test_a_conflict_without_a_pair_of_values_is_still_shown(render, report):
    report["conflicts"][0]["fields"] = {"a": None, "b": [1], "c": "x"}
    assert render(report)


@pytest.mark.parametrize("render", RENDERERS)
def test_the_verdict_the_books_and_the_undo_command_are_everywhere(render, report):
    text = render(report)

    assert "50,983 events in the table and proven" in text
    for figure in ("52,694", "52,190", "1,204", "418", "86"):
        assert figure in text
    assert report["undo"] in text


@pytest.mark.parametrize("render", RENDERERS)
def test_books_that_do_not_balance_are_never_called_proven(render, report):
    report["rejected"] -= 2
    text = render(report)

    assert "but not proven" in text
    assert "the books are off by 2 lines" in text


def test_a_success_whose_month_differs_is_not_called_proven(report):
    report["months"][3]["table"] -= 5
    page = render_html(report)

    assert "in the table but not proven" in page
    assert "the table differs from the export in 1 monthly count" in page
    assert page.count('<tr class="differs') == 1
    assert ">−5</span>" in page


def test_many_months_are_added_up_and_the_differing_row_is_named(report):
    report["months"] = [
        {"month": f"2024-{month:02d}", "event_type": f"t{kind}", "export": 10, "table": 10}
        for month in range(1, 13)
        for kind in range(5)
    ]
    report["months"][17]["table"] = 9
    page = render_html(report)

    totals, named = page.split("Where they differ")
    assert totals.count("5 types") == 12
    assert ">49<" in totals
    assert "t2" in named.split("Every event type")[0]


def test_a_dry_run_promises_no_proof_and_no_undo(report):
    report |= {"dry_run": True, "loaded": None, "verification": None, "table": None, "events_per_day": []}
    page, summary = render_html(report), render_summary(report)

    assert "52,190 events ready to load; nothing was written" in page
    assert "rollback" not in page + summary
    assert summary.count("balances") == 1


def test_events_made_from_others_are_something_to_undo(report):
    report |= {"loaded": 0, "derived": 30, "replaced": 0, "conflict": 0, "undo": "hindcast rollback --run x --apply"}
    summary = render_summary(report)
    assert "30 events made from others, nothing else new" in summary and "hindcast rollback --run x" in summary


def test_a_plan_says_what_would_be_new(report):
    rows = [{"month": "2024-07", "event_type": "t", "export": 9, "new": 6, "already_there": 2, "conflicting": 1}]
    report |= {"plan": True, "loaded": None, "verification": None, "months": rows}
    summary = render_summary(report)

    assert "6 events would be new; nothing was written" in summary
    assert "2 already there, 1 in conflict" in render_html(report)


def test_a_failed_run_leads_with_its_error_and_does_not_claim_that_nothing_was_loaded(report):
    report |= {"status": "failed", "error": "connection lost", "loaded": None, "undo": None}
    summary = render_summary(report)

    assert summary.startswith("FAILED: The import failed\n  error     connection lost\n")
    assert "no row was added" not in summary


def test_a_long_value_is_cut_in_the_page_and_whole_in_the_json(report, tmp_path):
    report["rejects_by_reason"][0]["samples"][0]["raw"] = "x" * 100_000
    page = write_report(report, tmp_path)

    assert "(100,000 characters)" in page.read_text()
    assert "x" * 3000 not in page.read_text()
    assert "x" * 100_000 in page.with_name("report.json").read_text()


def test_the_summary_stays_short_however_many_reasons_there_are(report):
    report["rejects_by_reason"] = [{"code": f"reason_{i}", "count": i, "samples": []} for i in range(40)]

    assert "and 34 other reasons" in render_summary(report)
    assert len(render_summary(report).splitlines()) < 30


def test_a_day_without_events_is_a_gap_in_the_plot():
    plot = plot_events(
        [{"day": "2024-03-03", "before": 0, "after": 4}, {"day": "2024-03-01", "before": 2, "after": 2}],
        400,
        200,
    )

    assert plot is not None
    first, last = plot.bars
    assert last.x - first.x == pytest.approx(2 * (plot.right - plot.left) / 3, abs=0.1)
    assert (first.y_before, last.y_before) == (first.y_after, plot.base)


def test_more_days_than_fit_are_drawn_as_months():
    days = [
        {"day": f"{year}-{month:02d}-15", "before": 1, "after": 2} for year in (2022, 2023) for month in range(1, 13)
    ]
    plot = plot_events(days, 1000, 200)

    assert plot is not None
    assert plot.unit == "month"
    assert len(plot.bars) == 24
    assert plot.bars[0].title == "January 2022: 1 before, 2 after"


@pytest.mark.parametrize("highest", [1, 3, 7, 99, 100, 101, 2_500_001])
def test_the_scale_ends_at_or_above_the_highest_bar(highest):
    plot = plot_events([{"day": "2024-03-01", "before": 0, "after": highest}], 400, 200)

    assert plot is not None
    marks = [int(tick.text.replace(",", "")) for tick in plot.y_ticks]
    assert marks[0] == 0
    assert highest <= marks[-1] < 2 * highest + 2
    assert 2 <= len(marks) <= 7


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        ("number", 1234567, "1,234,567"),
        ("number", -3, "−3"),
        ("number", 0.001632, "0.00163"),
        ("number", None, "–"),
        ("size", 999_960, "1.0 MB"),
        ("size", 12, "12 B"),
        ("seconds", 0.084, "84 ms"),
        ("seconds", 59.97, "1 min 00 s"),
        ("seconds", 7505, "2 h 05 min"),
        ("instant", "2026-07-30T02:14:09.5+00:00", "2026-07-30 02:14:09 UTC"),
    ],
)
def test_figures_are_written_for_people(write, value, text):
    assert getattr(report_format, write)(value) == text


def test_a_share_never_rounds_something_to_nothing_or_nearly_all_to_all():
    assert report_format.share(1, 1_000_000) == "under 0.01 %"
    assert report_format.share(999_999, 1_000_000) == "over 99.99 %"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "report.json"
    path.write_bytes(b"old")

    with pytest.raises(TypeError):
        write_atomically(path, "not bytes")  # type: ignore[arg-type]  # any fault in the middle of the write

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
