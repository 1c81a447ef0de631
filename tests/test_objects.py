"""The contract of an object store, on a folder and on S3 alike."""

import base64
import random
import threading
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import pytest
from storing import QUICK, put

from hindcast.errors import AccessRefused, ConfigurationError, ObjectConflict, ObjectError
from hindcast.objects.content import Content, Spool, file_piece
from hindcast.objects.keys import ObjectUrl, parse_url
from hindcast.objects.local import LocalStore
from hindcast.objects.s3 import S3Store, make_client
from hindcast.objects.store import ObjectStore, open_store, read_object
from hindcast.settings import Settings

pytest_plugins = ["objects_fixtures"]
KEY = "llma/0f25663a3e84ea94/one"


def test_what_is_put_is_read_back(store: ObjectStore) -> None:
    assert store.put(KEY, Content([b"hello ", b"world"]), "text/plain", {"team": "x"})
    assert read_object(store, KEY) == b"hello world"
    head = store.head(KEY)
    assert (head.size, head.content_type, head.metadata["team"]) == (11, "text/plain", "x")
    assert head.metadata["sha256"] == Content([b"hello world"]).sha256


def test_the_same_bytes_again_are_not_written_again(store: ObjectStore) -> None:
    assert put(store, KEY, b"same")
    (before,) = store.list(KEY)
    assert not put(store, KEY, b"same")
    assert [before] == list(store.list(KEY))


def test_other_bytes_are_a_conflict_and_overwrite_nothing(store: ObjectStore) -> None:
    put(store, KEY, b"first")
    with pytest.raises(ObjectConflict, match="holds other bytes"):
        put(store, KEY, b"later")
    assert read_object(store, KEY) == b"first"


def test_writers_that_race_leave_one_whole_object(store: ObjectStore) -> None:
    outcomes: list[str] = []

    def write(data: bytes) -> None:
        try:
            outcomes.append("new" if put(store, KEY, data) else "same")
        except ObjectConflict:
            outcomes.append("conflict")

    values = [b"a" * 100_000, b"b" * 100_000] * 3
    threads = [threading.Thread(target=write, args=(value,)) for value in values]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["conflict"] * 3 + ["new"] + ["same"] * 2
    assert read_object(store, KEY) in values


def test_ranges_are_inclusive_at_both_ends(store: ObjectStore) -> None:
    put(store, KEY, bytes(range(256)))
    assert read_object(store, KEY, 0, 0) == b"\x00"
    assert read_object(store, KEY, 10, 19) == bytes(range(10, 20))
    assert read_object(store, KEY, 250) == bytes(range(250, 256))


@pytest.mark.parametrize(("first", "last"), [(0, 4), (4, 4), (2, 9)])
def test_a_range_beyond_the_end_is_refused(store: ObjectStore, first: int, last: int) -> None:
    put(store, KEY, b"four")
    with pytest.raises(ObjectError, match=r"it has 4|beyond its end"):
        read_object(store, KEY, first, last)


def test_an_absent_object_is_a_file_not_found(store: ObjectStore) -> None:
    for ask in (lambda: store.head(KEY), lambda: read_object(store, KEY), lambda: read_object(store, KEY, 0, 1)):
        with pytest.raises(FileNotFoundError, match="no such object"):
            ask()


def test_listing_is_by_prefix_and_in_order(store: ObjectStore) -> None:
    for key in ("llma/b/2", "llma/a/1", "llma/ab/3", "other/x"):
        put(store, key, key.encode())
    assert [found.key for found in store.list("llma/a")] == ["llma/a/1", "llma/ab/3"]
    assert [found.key for found in store.list("llma/a/")] == ["llma/a/1"]
    assert [(f.key, f.size_bytes) for f in store.list()][-1] == ("other/x", 7)
    assert not list(store.list("nothing/"))


def test_deleting_twice_is_deleting_once(store: ObjectStore) -> None:
    put(store, KEY, b"x")
    store.delete(KEY)
    store.delete(KEY)
    assert not list(store.list())
    assert put(store, KEY, b"other bytes now")


@pytest.mark.parametrize(
    "key", ["", "/a", "a//b", "a/../b", "a/.", ".about/x", "a%2f", "a\\b", "a\0", "ä", "a b", "x" * 1025]
)
def test_a_key_in_another_spelling_is_refused_by_every_method(store: ObjectStore, key: str) -> None:
    for ask in (store.head, store.delete, lambda k: put(store, k, b""), lambda k: read_object(store, k)):
        with pytest.raises(AccessRefused):
            ask(key)


def test_ten_megabytes_cost_a_few_buffers(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(random.Random(1).randbytes(1_000_000) * 10)
    store = LocalStore(tmp_path, "llma")
    with path.open("rb") as file:
        content = Content([b"head", file_piece(file, 0, 10_000_000)])
        tracemalloc.start()
        store.put(KEY, content, "x/y", {})
        assert sum(map(len, store.stream(KEY))) == 10_000_004
        with content.open() as stream:  # what S3 is given
            while stream.read(65_536):
                pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 3_000_000


def test_content_is_seekable_and_read_by_any_pieces(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path), 1_000)
    data = random.Random(2).randbytes(5_000)
    for start in range(0, 5_000, 700):
        spool.write(data[start : start + 700])
    assert (spool.read_at(100, 50), spool.size) == (data[100:150], 5_000)
    with (tmp_path / "file").open("w+b") as file:
        file.write(data)
        file.flush()
        content = Content([data[:10], file_piece(file, 10, 90), b"", data[100:]])
        stream = content.open()
        stream.seek(95)
        assert stream.read(10) == data[95:105]
        assert content.sha256 == Content([data]).sha256
    spool.close()


def test_an_object_put_by_hand_without_a_digest_is_compared_by_its_bytes(bucket: str) -> None:
    store = S3Store(bucket, QUICK)
    store._client.put_object(Bucket=bucket, Key=KEY, Body=b"by hand")
    assert not put(store, KEY, b"by hand")
    with pytest.raises(ObjectConflict):
        put(store, KEY, b"by us")


def test_a_writer_that_died_before_the_metadata_is_completed_by_the_next(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, "llma")
    store.put(KEY, Content([b"x"]), "text/plain", {"team": "t"})
    (tmp_path / "llma/.about" / f"{KEY}.json").unlink()
    assert store.head(KEY).metadata == {"sha256": Content([b"x"]).sha256}
    assert not store.put(KEY, Content([b"x"]), "text/plain", {"team": "t"})
    assert store.head(KEY).metadata["team"] == "t"


def test_what_an_upload_that_was_killed_left_aside_is_discarded(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, "llma")
    put(store, KEY, b"x")
    (tmp_path / "llma/.uploads/killed").write_bytes(b"half")
    assert store.discard_unfinished(datetime(2020, 1, 1, tzinfo=UTC)) == 0
    assert store.discard_unfinished(datetime(2100, 1, 1, tzinfo=UTC)) == 1
    assert [found.key for found in store.list()] == [KEY]


def test_an_empty_object_is_read(store: ObjectStore) -> None:
    put(store, KEY, b"")
    assert read_object(store, KEY) == b""


def test_a_missing_bucket_is_told_with_the_fix(aws: str) -> None:
    with pytest.raises(ObjectError, match="no such bucket; make it or correct LLMA_S3_BUCKET"):
        put(S3Store("nobody-made-it", QUICK), KEY, b"x")


def test_the_settings_choose_the_store(tmp_path: Path, bucket: str) -> None:
    assert str(open_store(Settings(home=tmp_path))) == str(tmp_path.resolve() / "objects/llma")
    assert str(open_store(Settings(home=tmp_path, llma_s3_bucket=bucket))) == f"s3://{bucket}"
    assert str(open_store(Settings(home=tmp_path, llma_s3_bucket="my-own", object_store="local"))).endswith("/my-own")
    with pytest.raises(ConfigurationError, match="LLMA_S3_BUCKET"):
        open_store(Settings(home=tmp_path, object_store="s3"))


def test_a_url_reads_back_as_it_was_written() -> None:
    for url in (ObjectUrl("bucket", "llma/t/k"), ObjectUrl("bucket", "llma/t/k", 0, 12)):
        assert parse_url(str(url)) == url


def test_a_put_has_its_sum_with_it_in_a_header(bucket: str) -> None:
    client = make_client(QUICK)
    sent: list[dict[str, bytes]] = []
    client.meta.events.register("before-send.s3.PutObject", lambda request, **_: sent.append(dict(request.headers)))
    content = Content([b"the bytes"])
    assert S3Store(bucket, QUICK, client).put(KEY, content, "text/plain", {})
    headers = {name.lower(): value for name, value in sent[0].items()}
    assert base64.b64decode(headers["x-amz-checksum-sha256"]).hex() == content.sha256
    assert "x-amz-trailer" not in headers  # which some compatible stores do not know
