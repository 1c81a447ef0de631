import json
import re
import time
from pathlib import Path

import psycopg
import pytest

from bench.command import CommandFailed, as_object, run, step_seconds
from bench.far import seen_from_afar
from bench.figures import Taken, rotated, summarise, tabulate
from bench.memory import Peaks, name_kind
from bench.plot import draw
from bench.publish import BEGIN, END, replace_figures
from bench.show import TITLES, peers_table, render_figures


def result(**figures: Taken) -> dict:
    named = {name.replace("_", "-"): taken for name, taken in figures.items()}
    machine = {"processor": "P", "cores": 2, "memory_gb": 8, "filesystem": "ext4", "system": "Linux", "python": "3.11"}
    machine |= {"postgresql": "18", "postgresql_settings": {"fsync": "on"}, "settings": {}, "load_average": 0.1}
    return {
        "measured_at": "2026-01-02T03:04:05+00:00",
        "events": 1_000_000,
        "peer_events": 100_000,
        "seed": 7,
        "rounds": 1,
        "export_bytes": 602_000_000,
        "machine": machine,
        "missing": {"sling": "could not be installed: no network"},
        "figures": summarise([named]),
    }


def test_the_median_of_the_rounds_is_told_with_its_spread() -> None:
    told = summarise([{"copy-text": Taken(seconds, 100)} for seconds in (2.0, 8.0, 4.0)])["copy-text"]
    assert (told["seconds"], told["fastest"], told["slowest"], told["rounds"]) == (4.0, 2.0, 8.0, 3)
    assert told["events_per_second"] == 25


def test_ratios_to_the_copy_are_of_events_a_second_so_that_sizes_may_differ() -> None:
    told = summarise([{"copy-text": Taken(2.0, 1_000), "node": Taken(1.0, 100)}])
    assert (told["copy-text"]["of_copy"], told["node"]["of_copy"]) == (1.0, 0.2)


def test_without_the_copy_there_are_no_ratios() -> None:
    assert summarise([{"node": Taken(1.0, 100)}])["node"]["of_copy"] is None


def test_details_have_medians_too_and_a_step_of_one_round_only_stays() -> None:
    rounds = [{"backfill": Taken(1, 1, {"steps": {"load": n, **extra}})} for n, extra in ((1, {"keep": 9}), (3, {}))]
    assert summarise(rounds)["backfill"]["details"] == {"steps": {"load": 2, "keep": 9}}


def test_every_round_has_another_order_and_all_names() -> None:
    orders = [rotated(["a", "b", "c"], number) for number in range(4)]
    assert orders == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]]


def test_the_seconds_of_steps_come_from_the_progress_lines() -> None:
    lines = [(1.0, "archiving ..."), (1.5, "a warning"), (3.0, "archiving: done"), (3.0, "deleting ...")]
    assert step_seconds(lines) == {"archiving": 2.0}


def test_peak_memory_is_that_of_one_moment_not_the_sum_of_each_ones_own_peak() -> None:
    peaks = Peaks()
    peaks.add([("main", 100_000_000), ("workers", 10_000_000), ("workers", 20_000_000)])
    peaks.add([("main", 50_000_000), ("workers", 40_000_000)])
    assert peaks.as_megabytes() == {"together": 130.0, "largest": 100.0, "main": 100.0, "workers": 40.0}


def test_processes_are_told_apart_by_their_commands() -> None:
    commands = (["python", "-m", "hindcast.pool"], ["python", "-c", "import prefect.server"], ["python", "x.py"])
    assert [name_kind(command) for command in commands] == ["workers", "prefect_server", "main"]


def test_the_last_json_object_of_an_output_is_the_answer() -> None:
    assert as_object('noise\n{"seconds": 1}\n{"seconds": 2}\nnoise') == {"seconds": 2}
    with pytest.raises(CommandFailed, match="no JSON"):
        as_object("nothing")


def test_a_command_that_fails_says_the_end_of_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match=r"sh ended with 3: first \| last"):
        run(["sh", "-c", "echo first >&2; echo last >&2; exit 3"], folder=tmp_path)


def test_a_peer_that_could_not_be_installed_says_why_and_the_others_are_compared() -> None:
    table = peers_table(result(backfill=Taken(10, 1_000_000), node=Taken(4, 100_000), dlt=Taken(20, 100_000)))
    assert "| 25,000 | 4.0x |" in table and "| 5,000 | 20.0x |" in table
    assert table.index(TITLES["node"]) < table.index(TITLES["dlt"])
    assert f"{TITLES['sling']}: could not be installed: no network" in table


def test_the_page_keeps_what_is_outside_the_figures() -> None:
    page = f"# Title\n\n{BEGIN}\nold\n{END}\n\nprose\n"
    told = replace_figures(page, result(copy_text=Taken(5, 1_000_000), backfill=Taken(8, 1_000_000, {"steps": {}})))
    assert told.startswith("# Title") and told.endswith("prose\n") and "old" not in told
    assert "1,000,000 | 8.00" in told and "0.62" in told
    with pytest.raises(ValueError, match="lacks"):
        replace_figures("# Title", result())


def test_the_plot_has_a_bar_for_each_measurement_that_there_is() -> None:
    drawn = draw(result(copy_text=Taken(5, 1_000_000), dlt=Taken(20, 100_000)))
    assert drawn.count("<rect") == 3 and "200,000" in drawn and "5,000" in drawn and "`" not in drawn


def test_the_plot_has_room_for_its_longest_label() -> None:
    names = {"dlt-tuned": Taken(20, 100_000), "backfill": Taken(5, 1_000_000)}
    for named in ({"dlt-tuned": names["dlt-tuned"]}, names):
        drawn = draw(result(**{name.replace("-", "_"): taken for name, taken in named.items()}))
        ends = {int(end) for end in re.findall(r'x="(\d+)" y="\d+" text-anchor="end"', drawn)}
        longest = max(len(TITLES[name].replace("`", "").replace("*", "")) for name in named)
        assert len(ends) == 1 and min(ends) > 7 * longest
        width = int(re.findall(r'viewBox="0 0 (\d+) ', drawn)[0])
        assert all(
            float(x) + float(w) < width for x, w in re.findall(r'<rect x="([\d.]+)" y="\d+" width="([\d.]+)"', drawn)
        )


def test_a_result_of_one_measurement_can_be_shown() -> None:
    assert "200,000" in render_figures(result(copy_text=Taken(5, 1_000_000)))
    assert json.dumps(result())


def test_a_table_has_its_numbers_to_the_right() -> None:
    assert tabulate([["a", "1"]], ["", "n"]).splitlines()[1] == "| --- | ---: |"


def test_a_database_seen_from_afar_is_the_same_later(empty_database: str) -> None:
    with seen_from_afar(empty_database, 40) as url, psycopg.connect(url) as connection:
        began = time.monotonic()
        assert connection.execute("SELECT repeat('x', 3000000)").fetchone() == ("x" * 3_000_000,)
        assert time.monotonic() - began >= 0.04
    with seen_from_afar(empty_database, 0) as url:
        assert url == empty_database
