"""What is selected, as the ledger, the shell and people see it."""

import json
import shlex
from uuid import UUID

import pytest

from flows.cli import cli
from hindcast.errors import ConfigurationError
from hindcast.selection import Selection, check_selection, encode_selection, read_selection
from hindcast.window import parse_window

RUN = UUID("0190a000-0000-4000-8000-000000000001")
NARROW = Selection(None, parse_window("2024-01-01..2024-02-01T12:00:00Z"), "amplitude", "it's", "", include_live=True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((None, None, False), "nothing is selected: name a run"),
        ((None, "", False), "nothing is selected: name a run"),
        ((None, "2024-01-01..", False), "expected both ends"),
        ((None, "..", False), "expected both ends"),
        ((None, "2024", False), "expected START..END"),
        (("1a", None, True), "rows of the live platform belong to no run"),
    ],
)
def test_only_a_run_or_a_closed_window_is_taken(arguments: tuple[str | None, str | None, bool], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        check_selection(*arguments)


@pytest.mark.parametrize("selection", [Selection(RUN), NARROW])
def test_a_selection_is_read_back_as_it_was(selection: Selection) -> None:
    assert read_selection(json.loads(encode_selection(selection))) == selection


def test_only_what_narrows_is_kept() -> None:
    assert Selection(RUN).as_json() == {"run": str(RUN)}
    assert NARROW.as_json() == {
        "event_type": "it's",
        "include_live": True,
        "source": "amplitude",
        "tenant": "",
        "window": ["2024-01-01T00:00:00.000000Z", "2024-02-01T12:00:00.000000Z"],
    }


def test_the_options_make_the_same_selection() -> None:
    words = shlex.split(shlex.join(NARROW.options()))
    given = cli.commands["rollback"].make_context("rollback", words).params
    window = check_selection(given["run"], given["window"], given["include_live"])
    filters = (given["source"], given["event_type"], given["tenant"], given["include_live"])
    assert Selection(None, window, *filters) == NARROW


def test_a_whole_run_is_one_that_nothing_narrows() -> None:
    assert Selection(RUN).is_whole_run
    assert not Selection(RUN, tenant="").is_whole_run
    assert not NARROW.is_whole_run


def test_a_selection_is_described_in_a_few_words() -> None:
    assert Selection(RUN).describe() == "run 0190a000"
    assert NARROW.describe() == (
        "2024-01-01..2024-02-01T12:00:00Z source 'amplitude' event_type \"it's\" tenant '' with live rows"
    )
