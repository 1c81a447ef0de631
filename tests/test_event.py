"""The identity of events: pinned ids, and what they depend on."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hindcast.event import CONTENT_FIELDS, Event, format_id, hash_fields, identify
from hindcast.times import to_microseconds

MOMENT = datetime(2024, 7, 1, 15, 0, 0, 123_456, tzinfo=UTC)
PLAIN = Event(occurred_at=MOMENT, event_type="lesson_started", user_id="u-1", payload={"b": [1.5, None], "a": "é"})
OWN = Event(occurred_at=MOMENT, event_type="lesson_started", source_event_id="evt-1")


def changed(event: Event, **fields: object) -> Event:
    values = {name: getattr(event, name) for name in event.__struct_fields__} | fields
    return Event(**values)  # type: ignore[arg-type]  # names of its own fields


# A change of these values makes other ids: re-imports would no longer meet the rows that earlier versions wrote.
GOLDEN = {
    "plain": (PLAIN, "01906ecf-55fb-8d7f-9730-451e17c13479", "ebd1eada6b5f142894ea1d4d73b79b71"),
    "with its own id": (OWN, "01906ecf-55fb-8829-bd3b-5505db7b459c", "99e7837adfdef40b15c2bd4a978f132a"),
    "of a tenant": (
        changed(OWN, tenant="acme"),
        "01906ecf-55fb-8633-9400-fd0cdcbe4331",
        "07d16cb329db40f52acb6a3d0084ce4c",
    ),
}


@pytest.mark.parametrize(("event", "event_id", "content_hash"), GOLDEN.values(), ids=GOLDEN)
def test_ids_and_content_hashes_are_pinned_to_the_byte(event: Event, event_id: str, content_hash: str) -> None:
    derived = identify(event, "analytics_history")
    assert (format_id(derived.event_id), derived.content_hash.hex()) == (event_id, content_hash)


def test_the_identity_of_an_own_id_is_pinned_to_the_byte() -> None:
    assert identify(OWN, "analytics_history").identity.hex() == "979d524588378434d79d2acbf97e0956"


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)), st.none() | st.text())
def test_an_id_is_a_uuid_of_version_8_that_begins_with_its_milliseconds(moment: datetime, own_id: str | None) -> None:
    moment = moment.replace(tzinfo=UTC)
    event_id = UUID(bytes=identify(changed(OWN, occurred_at=moment, source_event_id=own_id), "s").event_id)
    assert (event_id.version, event_id.variant) == (8, "specified in RFC 4122")
    assert event_id.int >> 80 == to_microseconds(moment) // 1000


@pytest.mark.parametrize("name", [*CONTENT_FIELDS[1:], "payload", "occurred_at"])
def test_every_field_counts_for_the_id_of_an_event_without_its_own(name: str) -> None:
    value = MOMENT + timedelta(microseconds=1) if name == "occurred_at" else "other"
    assert identify(changed(PLAIN, **{name: value}), "s").event_id != identify(PLAIN, "s").event_id


def test_content_does_not_count_for_the_id_of_an_event_with_its_own() -> None:
    one, other = identify(OWN, "s"), identify(changed(OWN, event_type="other", payload={"a": 1}), "s")
    assert one.event_id == other.event_id
    assert one.identity == other.identity
    assert one.content_hash != other.content_hash


def test_the_same_own_id_at_another_time_is_another_id_that_claims_the_same_event() -> None:
    one, other = identify(OWN, "s"), identify(changed(OWN, occurred_at=MOMENT + timedelta(hours=1)), "s")
    assert one.event_id != other.event_id
    assert one.identity == other.identity


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"source": "s"}, {"source": "t"}),
        ({"tenant": "a"}, {"tenant": "b"}),
        ({"source": "s,", "tenant": "t"}, {"source": "s", "tenant": ",t"}),
        ({"source": 's"', "tenant": "t"}, {"source": "s", "tenant": '"t'}),
        ({"tenant": "t", "own_id": "1:a"}, {"tenant": "t1:", "own_id": "a"}),
    ],
)
def test_owners_never_share_an_identity(one: dict[str, str], other: dict[str, str]) -> None:
    first, second = (
        identify(
            changed(OWN, tenant=who.get("tenant", ""), source_event_id=who.get("own_id", "evt-1")),
            who.get("source", "s"),
        )
        for who in (one, other)
    )
    assert first.identity != second.identity
    assert first.event_id != second.event_id


def test_fields_do_not_run_into_each_other() -> None:
    one, other = changed(PLAIN, user_id="a", session_id=None), changed(PLAIN, user_id=None, session_id="a")
    assert identify(one, "s").event_id != identify(other, "s").event_id


def test_the_content_hash_of_an_event_is_the_one_of_its_fields() -> None:
    derived = identify(PLAIN, "s")
    fields = ["s", *[getattr(PLAIN, name) for name in CONTENT_FIELDS[1:]]]
    assert hash_fields(derived.microseconds, fields, derived.payload) == derived.content_hash
