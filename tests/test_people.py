"""Who an event is about: persons of an export, what is remembered of them, in any order and after any death."""

import json
from collections.abc import Iterable
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from loading import Import, begin, load, query, stage, write_export

from hindcast.compare import compare_chunks
from hindcast.database import connect
from hindcast.errors import ExportError
from hindcast.people import Sightings, load_people, make_key, settle_people
from hindcast.people_links import assign_people
from hindcast.settings import load_settings
from hindcast.staged_rows import read_staged_rows

pytest_plugins = ["loading_fixtures"]

PEOPLE_OF_EVENTS = "SELECT source_event_id, user_id FROM analytics_events ORDER BY source_event_id"
LINKS = "SELECT identifier_key, kind, universal_id, confidence, first_seen FROM identity_links ORDER BY 1"
EMAIL, PHONE = "ada@example.com", "4155550100"


def make_record(number: int, **who: Any) -> dict[str, Any]:
    """A record named by its number, a minute later each."""
    return {
        "event_id": f"e{number:03}", "event_type": "sent", "esp": "klaviyo",
        "timestamp": f"2025-10-01T{number // 60:02}:{number % 60:02}:00",
    } | who  # fmt: skip


def export(folder: Path, whos: Iterable[dict[str, Any]], first: int = 0, name: str = "export") -> Path:
    records = [make_record(number, **who) for number, who in enumerate(whos, start=first)]
    return write_export(folder / f"{name}.jsonl", records)


def people(url: str) -> dict[str, str]:
    return dict(query(url, PEOPLE_OF_EVENTS))  # type: ignore[arg-type]  # two columns


def group(found: dict[str, str]) -> list[int]:
    """For each event in order, the number of its person by first sight."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(found[event], len(numbers)) for event in sorted(found)]


@pytest.mark.parametrize(
    ("whos", "expected"),
    [
        ([{"email": EMAIL}, {"email": " ADA@example.com"}, {"email": "bob@example.com"}], [0, 0, 1]),
        ([{"email": EMAIL}, {"phone": PHONE}], [0, 1]),
        ([{"email": EMAIL}, {"phone": PHONE}, {"email": EMAIL, "phone": PHONE}], [0, 0, 0]),
        ([{"klaviyo_id": "k"}, {"shopify_customer_id": "s"}, {"klaviyo_id": "k", "email": EMAIL},
          {"email": EMAIL, "shopify_customer_id": "s"}], [0, 0, 0, 0]),
        ([{"esp_user_id": "1"}, {"esp_user_id": "1", "esp": "braze"}, {"recipient_id": "1"}], [0, 1, 0]),
        ([{"email": EMAIL, "ip_address": "1.1.1.1", "user_agent": "x"}, {"ip_address": "1.1.1.1", "user_agent": "x"},
          {"email": "bob@example.com", "ip_address": "1.1.1.1", "user_agent": "x"}], [0, 0, 1]),
        ([{"ip_address": "1.1.1.1", "user_agent": "x"},
          {"email": EMAIL, "ip_address": "1.1.1.1", "user_agent": "x"}], [0, 0]),
    ],
    ids=["spelling", "nothing in common", "seen together", "a chain", "ids of an esp", "a shared device",
         "a device first"],
)  # fmt: skip
def test_identifiers_seen_together_are_of_one_person(
    target: str, tmp_path: Path, whos: list[dict[str, Any]], expected: list[int]
) -> None:
    begun = load(target, export(tmp_path, whos))
    found = people(target)
    assert group(found) == expected
    assert all(user_id.startswith("sf_") and len(user_id) == 19 for user_id in found.values())
    assert begun.verify().status == "passed"
    assert begun.spot_check().differences == []


CHAIN = [{"klaviyo_id": "k"}, {"phone": PHONE}, {"email": EMAIL}, {"email": EMAIL, "phone": PHONE},
         {"phone": PHONE, "klaviyo_id": "k"}]  # fmt: skip


@pytest.mark.parametrize("order", list(permutations(range(5)))[::17], ids=str)
def test_any_order_of_chunks_gives_the_same_people(target: str, tmp_path: Path, order: tuple[int, ...]) -> None:
    begun = begin(target, export(tmp_path, CHAIN), chunk=1)
    for chunk in order:
        begun.load(chunk)
    assert set(people(target).values()) == {load_people(begun.folder).new_ids[0].as_py()}
    assert begun.verify().status == "passed"


def test_chunks_of_any_size_and_segments_of_any_size_give_the_same_people(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = export(tmp_path, CHAIN * 20)
    _, folder, _ = stage(file)
    monkeypatch.setenv("HINDCAST_SEGMENT_BYTES", "1024")
    _, cut, _ = stage(file, chunk=3)
    assert len(list(cut.glob("segment-*.people.parquet"))) > 5
    assert (folder / "people.parquet").read_bytes() == (cut / "people.parquet").read_bytes()


def test_a_person_keeps_its_id_in_later_imports(target: str, tmp_path: Path) -> None:
    load(target, export(tmp_path, [{"phone": PHONE}]))
    load(target, export(tmp_path, [{"email": EMAIL}, {"email": EMAIL, "phone": PHONE}], 10, "later"))
    assert group(people(target)) == [0, 0, 0]


def test_two_known_people_who_turn_out_to_be_one_keep_their_ids(target: str, tmp_path: Path) -> None:
    load(target, export(tmp_path, [{"phone": PHONE}, {"email": EMAIL}]))
    before = query(target, LINKS)
    begun = load(target, export(tmp_path, [{"email": EMAIL, "phone": PHONE}, {"phone": PHONE}], 10, "later"))
    assert group(people(target)) == [0, 1, 1, 0]
    assert query(target, LINKS) == before
    assert begun.verify().status == "passed"


def test_a_device_known_of_another_person_joins_nobody(target: str, tmp_path: Path) -> None:
    device = {"ip_address": "1.1.1.1", "user_agent": "x"}
    load(target, export(tmp_path, [device]))
    load(target, export(tmp_path, [device, device | {"email": EMAIL}], 10, "later"))
    assert group(people(target)) == [0, 0, 1]


def test_a_second_import_loads_nothing_and_links_nothing(target: str, tmp_path: Path) -> None:
    file = export(tmp_path, CHAIN)
    load(target, file)
    before = query(target, LINKS)
    again = load(target, file, is_new_run=True)
    assert (again.counts().loaded, again.counts().duplicate) == (0, 5)
    assert query(target, LINKS) == before


def test_links_outlive_the_events_of_a_rollback(target: str, tmp_path: Path) -> None:
    file = export(tmp_path, CHAIN)
    load(target, file)
    before = people(target)
    query(target, "DELETE FROM analytics_events")
    load(target, file, is_new_run=True)
    assert people(target) == before


def test_a_transaction_that_fails_links_nobody(target: str, tmp_path: Path) -> None:
    begun = begin(target, export(tmp_path, CHAIN))
    staged = read_staged_rows(begun.folder, begun.manifest.chunks[0], "email_engagement")
    with connect(target, load_settings()) as connection, pytest.raises(ZeroDivisionError), connection.transaction():
        assign_people(connection, begun.folder, staged)
        raise ZeroDivisionError
    assert query(target, LINKS) == []


def test_a_plan_tells_new_from_known_without_remembering_anybody(target: str, tmp_path: Path) -> None:
    begun = begin(target, export(tmp_path, CHAIN))
    assert list(compare_chunks(begun.task()).values()) == [{"new": 5}]
    assert query(target, LINKS) == []
    begun.load()
    assert list(compare_chunks(begun.task()).values()) == [{"already_there": 5}]


def test_tenants_are_told_apart(target: str, tmp_path: Path) -> None:
    file = export(tmp_path, [{"email": EMAIL}])
    for tenant in ("one", "two"):
        load(target, file, tenant=tenant)
    assert len({user_id for (user_id,) in query(target, "SELECT user_id FROM analytics_events")}) == 2
    assert query(target, "SELECT DISTINCT tenant FROM identity_links ORDER BY 1") == [("one",), ("two",)]


def test_a_secret_makes_other_people(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = export(tmp_path, [{"klaviyo_id": "k"}])
    plain = load_people(stage(file)[1]).new_ids[0].as_py()
    monkeypatch.setenv("HINDCAST_PII_SECRET", "secret")
    assert load_people(stage(file)[1]).new_ids[0].as_py() != plain


@pytest.mark.parametrize(
    ("damage", "failed"),
    [
        ("UPDATE analytics_events SET user_id = 'sf_0000000000000000' WHERE source_event_id = 'e001'", {"content"}),
        ("DELETE FROM identity_links", {"content", "people"}),
        ("UPDATE identity_links SET universal_id = 'sf_0000000000000000'", {"content"}),
    ],
    ids=["another person", "forgotten", "link changed"],
)
def test_verification_finds_events_of_the_wrong_person(
    target: str, tmp_path: Path, damage: str, failed: set[str]
) -> None:
    begun = load(target, export(tmp_path, CHAIN))
    query(target, damage)
    assert failed <= begun.failed_checks()
    assert {d.field for d in begun.verify().differences} == {"user_id"}


def test_a_link_says_what_it_is_and_since_when(target: str, tmp_path: Path) -> None:
    load(target, export(tmp_path, [{"phone": PHONE}, {"klaviyo_id": "k", "phone": PHONE}]))
    rows = query(target, "SELECT kind, confidence::text, first_seen::text FROM identity_links ORDER BY kind")
    assert rows == [("klaviyo_id", "0.95", "2025-10-01 00:01:00+00"), ("phone_hash", "1", "2025-10-01 00:00:00+00")]


def test_missing_persons_are_an_error_with_the_fix(target: str, tmp_path: Path) -> None:
    begun = begin(target, export(tmp_path, CHAIN))
    (begun.folder / "people.parquet").unlink()
    with pytest.raises(ExportError, match="run the backfill again"):
        begun.load()


def test_staging_without_its_sightings_is_an_error_with_the_fix(target: str, tmp_path: Path) -> None:
    begun = begin(target, export(tmp_path, CHAIN))
    (begun.folder / "segment-00000.people.parquet").unlink()
    with pytest.raises(ExportError, match="run the backfill again"):
        settle_people("email_engagement", begun.folder, [0])


def test_formats_without_identifiers_have_no_files_of_people(target: str, tmp_path: Path) -> None:
    Sightings("analytics_history").write(tmp_path, 0)
    settle_people("analytics_history", tmp_path, [0])
    assert list(tmp_path.glob("*people*")) == []


def test_keys_do_not_run_into_each_other() -> None:
    assert (
        len({make_key(*parts) for parts in (("", "a", "bc"), ("", "ab", "c"), ("a", "", "bc"), ("a", "b", "c"))}) == 4
    )


def test_ids_of_events_without_their_own_do_not_depend_on_the_person(target: str, tmp_path: Path) -> None:
    records = [make_record(0, email=EMAIL) | {"event_id": None}]
    begun: Import = load(target, write_export(tmp_path / "export.jsonl", [json.dumps(record) for record in records]))
    assert begun.verify().status == "passed"
    assert begun.spot_check().equal == 1
