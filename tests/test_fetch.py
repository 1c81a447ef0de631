"""Fetching hours into an inbox: what is asked for, pinned, delivered, and asked for again."""

import fcntl
import hashlib
import json
import zipfile
from datetime import timedelta

import pytest
from export_stand_in import body, status
from fetching import DAY, FOLDER, Fetcher

from hindcast.errors import ConfigurationError, ExportError
from hindcast.export import find_parts
from hindcast.fetch_api import ExportApi
from hindcast.fetch_hours import HOUR, STATE_FILE, Piece, cut_pieces, list_hours
from hindcast.inbox import list_deliveries
from hindcast.progress import listening

pytest_plugins = ["fetching_fixtures"]
EVERY_HOUR = [f"20240131T{hour:02}" for hour in range(24)]


def test_a_day_is_asked_for_hour_by_hour_and_becomes_one_export(fetcher: Fetcher) -> None:
    summary = fetcher.fetch()
    assert fetcher.asked() == EVERY_HOUR
    assert sorted(fetcher.files()) == sorted(f"{FOLDER}/2024-01-31_{hour}.zip" for hour in range(24))
    assert [delivery.name for delivery in list_deliveries(str(fetcher.inbox))] == [FOLDER]
    assert len(find_parts(str(fetcher.inbox / FOLDER))) == 24
    assert (summary.hours, summary.hours_downloaded, summary.files, summary.days_delivered) == (
        24,
        24,
        24,
        ["2024-01-31"],
    )
    assert summary.size_bytes == sum(map(len, fetcher.files().values()))


def test_files_are_pinned_by_size_and_sha256(fetcher: Fetcher) -> None:
    fetcher.stand_in.empty = {DAY + HOUR}
    fetcher.fetch()
    pins = json.loads((fetcher.inbox / STATE_FILE).read_text())["exports"]["us"]["pins"]
    data = fetcher.files()[f"{FOLDER}/2024-01-31_5.zip"]
    pin = pins["2024-01-31T05"]
    assert (pin["size_bytes"], pin["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert pins["2024-01-31T01"]["sha256"] == "" and len(pins) == 24


def test_no_key_is_written_anywhere(fetcher: Fetcher) -> None:
    fetcher.fetch()
    written = b"".join(path.read_bytes() for path in fetcher.inbox.rglob("*") if path.is_file())
    assert b"of-the-test" not in written


def test_an_hour_pinned_is_not_asked_for_again(fetcher: Fetcher) -> None:
    fetcher.stand_in.empty = {DAY + 3 * HOUR}
    fetcher.fetch()
    before = fetcher.files()
    fetcher.asked()
    summary = fetcher.fetch()
    assert not fetcher.asked() and fetcher.files() == before
    assert (summary.hours_known, summary.requests, summary.days_delivered, summary.problems) == (24, 0, [], [])


def test_force_asks_again_and_replaces(fetcher: Fetcher) -> None:
    fetcher.fetch()
    before = fetcher.files()
    fetcher.asked()
    fetcher.fetch(5, 2, is_forced=True)
    assert fetcher.asked() == EVERY_HOUR[5:7]
    changed = {name for name, data in fetcher.files().items() if before[name] != data}
    assert changed == {f"{FOLDER}/2024-01-31_{hour}.zip" for hour in (5, 6)}
    assert not fetcher.fetch().problems


def test_a_forced_answer_of_nothing_does_not_lose_what_was_pinned(fetcher: Fetcher) -> None:
    fetcher.fetch()
    before = fetcher.files()
    fetcher.stand_in.empty = {DAY}
    summary = fetcher.fetch(0, 1, is_forced=True)
    assert fetcher.files() == before and "nothing for them any more" in summary.notes[0]
    assert (summary.hours_known, summary.hours_empty) == (1, 0)


def test_a_fetch_that_failed_goes_on_where_it_stopped(fetcher: Fetcher) -> None:
    fetcher.stand_in.fail("20240131T05", *[status(500)] * 4)
    with pytest.raises(ExportError, match="hours 2024-01-31T05: HTTP 500"):
        fetcher.fetch()
    assert not list_deliveries(str(fetcher.inbox))
    fetcher.asked()
    summary = fetcher.fetch()
    assert fetcher.asked() == EVERY_HOUR[5:]
    assert (summary.hours_known, summary.hours_downloaded, len(fetcher.files())) == (5, 19, 24)


def test_a_day_is_delivered_when_its_last_hour_is_there(fetcher: Fetcher) -> None:
    summary = fetcher.fetch(0, 23)
    assert (summary.days_waiting, list_deliveries(str(fetcher.inbox))) == ({"2024-01-31": 23}, [])
    summary = fetcher.fetch(23, 1)
    assert (summary.days_waiting, len(find_parts(str(fetcher.inbox / FOLDER)))) == ({}, 24)


def test_a_partial_day_is_delivered_when_asked_for_and_grows(fetcher: Fetcher) -> None:
    assert fetcher.fetch(0, 5, is_partial=True).days_delivered == ["2024-01-31"]
    assert len(find_parts(str(fetcher.inbox / FOLDER))) == 5
    fetcher.fetch(5, 2, is_partial=True)
    assert len(find_parts(str(fetcher.inbox / FOLDER))) == 7
    fetcher.fetch()
    assert len(find_parts(str(fetcher.inbox / FOLDER))) == 24


def test_an_empty_day_is_no_export(fetcher: Fetcher) -> None:
    fetcher.stand_in.empty = set(list_hours(DAY, DAY + timedelta(days=1)))
    summary = fetcher.fetch()
    assert (summary.hours_empty, summary.days_delivered, summary.days_waiting) == (24, [], {})
    assert not list_deliveries(str(fetcher.inbox)) and "right project" in summary.notes[0]
    fetcher.asked()
    fetcher.fetch()
    assert not fetcher.asked()


def test_an_hour_is_asked_for_again_while_more_of_it_can_appear(fetcher: Fetcher) -> None:
    fetcher.now = DAY + timedelta(hours=10, minutes=30)
    fetcher.stand_in.empty = {DAY + 9 * HOUR}
    summary = fetcher.fetch()
    assert fetcher.asked() == EVERY_HOUR[:10]  # what is not over is not asked for
    assert (summary.hours_not_yet, summary.hours_to_ask_again) == (14, 2)
    fetcher.now += timedelta(hours=1)
    fetcher.stand_in.empty = set()
    fetcher.fetch()
    assert fetcher.asked() == EVERY_HOUR[8:11]
    fetcher.now += timedelta(days=1)
    fetcher.fetch()
    assert fetcher.asked() == EVERY_HOUR[9:]
    assert len(find_parts(str(fetcher.inbox / FOLDER))) == 24


def test_ranges_that_are_too_large_are_halved(fetcher: Fetcher) -> None:
    fetcher.stand_in.most_hours = 3
    summary = fetcher.fetch(0, 12, hours_per_request=12)
    assert fetcher.asked() == [
        "20240131T00-11", "20240131T00-05", "20240131T00-02", "20240131T03-05",
        "20240131T06-11", "20240131T06-08", "20240131T09-11",
    ]  # fmt: skip
    assert (summary.splits, summary.hours_downloaded, summary.files) == (3, 12, 4)
    assert [len(zipfile.ZipFile(path).namelist()) for path in fetcher.inbox.rglob("*.zip")] == [3] * 4


def test_an_hour_that_is_too_large_is_told_and_the_others_are_fetched(fetcher: Fetcher) -> None:
    fetcher.stand_in.fail("20240131T05", status(400))
    summary = fetcher.fetch()
    assert summary.hours_downloaded == 23 and summary.days_waiting == {"2024-01-31": 23}
    assert "hours 2024-01-31T05" in summary.problems[0] and "have Amplitude export it to S3" in summary.problems[0]
    fetcher.asked()
    fetcher.stand_in.fail("20240131T05", status(400))
    assert fetcher.fetch(is_partial=True).days_delivered == ["2024-01-31"]
    assert fetcher.asked() == ["20240131T05"] and len(find_parts(str(fetcher.inbox / FOLDER))) == 23
    assert not fetcher.fetch().problems
    assert len(find_parts(str(fetcher.inbox / FOLDER))) == 24


def test_another_size_of_request_replaces_whole_pieces(fetcher: Fetcher) -> None:
    fetcher.fetch(hours_per_request=8)
    fetcher.asked()
    fetcher.fetch(9, 1, is_forced=True)
    assert fetcher.asked() == EVERY_HOUR[8:16]
    found = sorted(part.name for part in find_parts(str(fetcher.inbox / FOLDER)))
    hours = [name.rpartition("_")[2].partition("#")[0] for name in found]
    assert sorted(map(int, hours)) == list(range(24))
    assert not fetcher.fetch().problems


@pytest.mark.parametrize(
    ("damage", "told"), [("remove", "pinned but gone"), ("change", "not the bytes that were pinned")]
)
def test_a_pinned_file_that_is_gone_or_changed_is_told_and_not_asked_for(
    fetcher: Fetcher, damage: str, told: str
) -> None:
    fetcher.fetch()
    path = fetcher.inbox / FOLDER / "2024-01-31_7.zip"
    path.unlink() if damage == "remove" else path.write_bytes(path.read_bytes()[:-1] + b"x")
    fetcher.asked()
    summary = fetcher.fetch()
    assert not fetcher.asked() and summary.hours_known == 23
    assert len(summary.problems) == 1 and told in summary.problems[0] and "2024-01-31_7.zip" in summary.problems[0]
    fetcher.fetch(7, 1, is_forced=True)
    assert not fetcher.fetch().problems


def test_what_is_broken_never_gets_a_name(fetcher: Fetcher) -> None:
    fetcher.stand_in.fail("20240131T00", *[body(b"no zip")] * 4)
    with pytest.raises(ExportError, match="not a whole zip"):
        fetcher.fetch(0, 1, is_partial=True)
    assert not fetcher.files()
    fetcher.fetch(0, 1, is_partial=True)
    assert list(fetcher.files()) == [f"{FOLDER}/2024-01-31_0.zip"] and not list(fetcher.inbox.rglob("*.part"))


def test_a_kill_between_pinning_and_naming_is_made_good(fetcher: Fetcher) -> None:
    fetcher.fetch(0, 5)
    [path] = fetcher.inbox.rglob("2024-01-31_3.zip")
    path.rename(f"{path}.part")
    fetcher.asked()
    assert not fetcher.fetch(0, 5).problems
    assert path.exists() and not fetcher.asked()


def test_days_are_delivered_one_by_one(fetcher: Fetcher) -> None:
    steps: list[tuple[str, int, int]] = []
    with listening(lambda *step: steps.append(step)):
        summary = fetcher.fetch(12, 48, hours_per_request=24)
    assert fetcher.asked() == ["20240131T12-23", "20240201T00-23", "20240202T00-11"]
    assert summary.days_delivered == ["2024-02-01"] and summary.days_waiting == {"2024-01-31": 12, "2024-02-02": 12}
    assert steps == [("fetch", 0, 48), ("fetch", 12, 48), ("fetch", 36, 48), ("fetch", 48, 48)]


def test_two_projects_do_not_mix(fetcher: Fetcher) -> None:
    fetcher.fetch(0, 1)
    other = ExportApi(fetcher.settings(amplitude_api_key="another"), "us", fetcher.patience)
    with pytest.raises(ConfigurationError, match="give this project a --name of its own"):
        fetcher.fetch(0, 1, other)
    assert fetcher.fetch(0, 1, name="shop").hours_downloaded == 1


def test_two_fetches_do_not_share_an_inbox(fetcher: Fetcher) -> None:
    fetcher.fetch(0, 1)
    with (fetcher.inbox / ".amplitude-fetch" / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ExportError, match="another fetch"):
            fetcher.fetch(1, 1)


def test_a_state_that_cannot_be_read_is_not_thrown_away(fetcher: Fetcher) -> None:
    fetcher.inbox.mkdir()
    (fetcher.inbox / STATE_FILE).write_text('{"version": 1, "exp')
    with pytest.raises(ExportError, match="not the state of a fetch"):
        fetcher.fetch(0, 1)
    (fetcher.inbox / STATE_FILE).write_text('{"version": 2}')
    with pytest.raises(ExportError, match="a newer Hindcast wrote it"):
        fetcher.fetch(0, 1)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"inbox": ""}, "HINDCAST_INBOX"),
        ({"inbox": "s3://bucket/inbox"}, "needs a folder"),
        ({"name": "../up"}, "--name"),
        ({"name": ""}, "--name"),
    ],
)
def test_an_order_that_will_not_do_is_refused(fetcher: Fetcher, wrong: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        fetcher.fetch(**wrong)


def test_a_disk_that_refuses_is_told_in_a_line(fetcher: Fetcher) -> None:
    fetcher.inbox.write_text("a file where the inbox should be")
    with pytest.raises(ExportError, match="inbox: "):
        fetcher.fetch(0, 1)


def test_hours_are_those_with_a_part_in_the_period() -> None:
    assert list_hours(DAY + timedelta(minutes=59), DAY + timedelta(hours=2)) == [DAY, DAY + HOUR]
    assert list_hours(DAY + timedelta(minutes=59), DAY + timedelta(hours=2, microseconds=1))[-1] == DAY + 2 * HOUR


def test_pieces_keep_to_their_day_and_to_neighbours() -> None:
    hours = [DAY + number * HOUR for number in (20, 22, 23, 24, 25)]
    assert [str(piece) for piece in cut_pieces(hours, 12)] == [
        "2024-01-31T20",
        "2024-01-31T22..23",
        "2024-02-01T00..01",
    ]
    assert Piece(DAY, 3).halve() == (Piece(DAY, 1), Piece(DAY + HOUR, 2))
