"""Isolation: each way to reach another team's objects, and its refusal."""

from pathlib import Path

import pytest
from storing import put

from hindcast.errors import AccessRefused, ConfigurationError, ObjectError
from hindcast.objects.local import LocalStore
from hindcast.objects.store import ObjectStore
from hindcast.objects.teams import TeamReader, key_of, team_of

pytest_plugins = ["objects_fixtures"]
OURS, THEIRS = team_of("phc_test_token"), team_of("phc_other_token")
SECRET = f"llma/{THEIRS}/secret"
TRICKS = {
    "their key": SECRET,
    "their url": f"s3://BUCKET/{SECRET}",
    "their range": f"s3://BUCKET/{SECRET}?range=0-3",
    "dots": f"llma/{OURS}/../{THEIRS}/secret",
    "dots in a url": f"s3://BUCKET/llma/{OURS}/../{THEIRS}/secret?range=0-3",
    "encoded dots": f"llma/{OURS}/%2e%2e/{THEIRS}/secret",
    "encoded slashes": f"llma/{OURS}/..%2f{THEIRS}%2fsecret",
    "encoded twice": f"llma/{OURS}/%252e%252e/{THEIRS}/secret",
    "overlong utf-8": f"llma/{OURS}/%c0%ae%c0%ae/{THEIRS}/secret",
    "absolute": f"/llma/{THEIRS}/secret",
    "absolute in a url": f"s3://BUCKET//llma/{THEIRS}/secret",
    "NUL": f"llma/{OURS}/x\0/../{THEIRS}/secret",
    "backslash": f"llma/{OURS}\\..\\{THEIRS}\\secret",
    "full-width dots": f"llma/{OURS}/\uff0e\uff0e/{THEIRS}/secret",
    "look-alike slash": f"llma/{OURS}/\u2215..\u2215{THEIRS}/secret",
    "look-alike digits": f"llma/{THEIRS.replace('0', chr(0xFF10))}/secret",
    "longer team": f"llma/{OURS}x/secret",
    "shorter prefix": f"llma/{OURS}",
    "root": "llma/",
    "upper case": f"LLMA/{OURS}/x",
    "empty segment": f"llma//{THEIRS}/secret",
    "dot segment": f"llma/./{THEIRS}/secret",
    "line break": f"llma/{OURS}/x\nllma/{THEIRS}/secret",
    "other bucket": f"s3://other-bucket/llma/{OURS}/x",
    "user in the url": f"s3://BUCKET@other-bucket/llma/{OURS}/x",
    "another scheme": f"file://BUCKET/llma/{OURS}/x",
    "upper-case scheme": f"S3://BUCKET/{SECRET}",
    "two ranges": f"s3://BUCKET/llma/{OURS}/x?range=0-1&range=2-3",
    "another query": f"s3://BUCKET/llma/{OURS}/x?versionId=1",
    "fragment": f"s3://BUCKET/llma/{OURS}/x#{SECRET}",
    "negative range": f"s3://BUCKET/llma/{OURS}/x?range=-5-3",
    "range backwards": f"s3://BUCKET/llma/{OURS}/x?range=3-1",
    "empty": "",
}


@pytest.fixture
def reader(store: ObjectStore) -> TeamReader:
    put(store, SECRET, b"theirs")
    put(store, f"llma/{OURS}x/secret", b"theirs")
    put(store, f"llma/{OURS}/x", b"ours, all of it")
    return TeamReader(store, OURS)


def test_the_team_is_the_beginning_of_the_tokens_hash() -> None:
    assert team_of("phc_test_token") == "0f25663a3e84ea94"
    assert key_of(OURS, "e") == "llma/0f25663a3e84ea94/e"


def test_a_reader_reads_its_own_by_key_url_and_range(reader: TeamReader, store: ObjectStore) -> None:
    url = f"s3://{store.bucket}/llma/{OURS}/x"
    assert reader.read(f"llma/{OURS}/x") == reader.read(url) == b"ours, all of it"
    assert reader.read(f"{url}?range=0-3") == b"ours"
    assert reader.head(url).size == 15
    assert [found.key for found in reader.list()] == [f"llma/{OURS}/x"]


@pytest.mark.parametrize("trick", TRICKS.values(), ids=TRICKS)
def test_a_trick_is_refused_by_every_method(reader: TeamReader, store: ObjectStore, trick: str) -> None:
    trick = trick.replace("BUCKET", store.bucket)
    for ask in (reader.read, reader.head, reader.read_part, reader.stream):
        with pytest.raises(AccessRefused):
            ask(trick)


@pytest.mark.parametrize(
    "prefix", ["llma/", f"llma/{OURS[:8]}", f"llma/{OURS}", f"llma/{OURS}/../", SECRET, "/", "%6clma/"]
)
def test_listing_outside_of_the_team_is_refused(reader: TeamReader, prefix: str) -> None:
    with pytest.raises(AccessRefused):
        list(reader.list(prefix))


@pytest.mark.parametrize("team", ["", "..", "a/b", "*", "a%2fb", "a" * 65, "é", "a.b"])
def test_a_team_that_is_no_segment_is_refused(store: ObjectStore, team: str) -> None:
    with pytest.raises(ConfigurationError):
        TeamReader(store, team)


def test_a_reader_cannot_write() -> None:
    assert not [name for name in dir(TeamReader) if "put" in name or "delete" in name]


def test_symlinks_in_the_folder_are_not_followed(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, "llma")
    put(store, SECRET, b"theirs")
    own = tmp_path / "llma/llma" / OURS
    own.mkdir(parents=True)
    (own / "file").symlink_to(tmp_path / "llma" / SECRET)
    (own / "folder").symlink_to(tmp_path / "llma/llma" / THEIRS)
    reader = TeamReader(store, OURS)
    for key in ("file", "folder/secret"):
        with pytest.raises(AccessRefused, match="symlink"):
            reader.read(f"llma/{OURS}/{key}")
    assert not list(reader.list())


def test_a_range_that_is_no_part_is_told(reader: TeamReader, store: ObjectStore) -> None:
    with pytest.raises(ObjectError, match="headers of a part"):
        reader.read_part(f"s3://{store.bucket}/llma/{OURS}/x?range=0-3")
