"""Finding the parts of an export and reading through archives, also broken and hostile ones."""

import gzip
import io
import os
import random
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import zstandard
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

from hindcast.errors import ExportError
from hindcast.export import DAMAGE, Bounds, find_parts, open_part
from hindcast.records import Progress, iter_lines
from hindcast.storage import s3_client

BOUNDS = Bounds(max_ratio=1100, max_member_bytes=1 << 40)
LINES = b"".join(b'{"i":"%s"}\n' % random.Random(n).randbytes(16).hex().encode() for n in range(20_000))


def names(file: Path | str) -> list[str]:
    return [part.name for part in find_parts(str(file))]


def read(file: Path | str, bounds: Bounds = BOUNDS) -> list[bytes]:
    found = []
    for part in find_parts(str(file)):
        with open_part(part, 0, bounds) as stream:
            found.extend(record.raw for record in iter_lines(stream, 0, None, 1 << 24, Progress()))
    return found


def write_zip(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def touch(folder: Path, *files: str) -> None:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b'{"from":"%s"}\n' % name.encode())


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.json", "A.JSONL"])
def test_a_plain_file_is_one_part_with_its_digest(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"{}\n")
    (part,) = find_parts(str(tmp_path / name))
    assert (part.name, part.size_bytes, part.is_splittable) == (name, 3, True)
    assert part.fingerprint == "sha256:ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356"


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.json.zst", "A.JSONL.GZ"])
def test_a_compressed_file_is_one_part_read_from_its_beginning(tmp_path: Path, name: str) -> None:
    compress = gzip.compress if name.lower().endswith("gz") else zstandard.compress
    (tmp_path / name).write_bytes(compress(LINES))
    assert not find_parts(str(tmp_path / name))[0].is_splittable
    assert read(tmp_path / name) == LINES.split()


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_members_and_frames_one_after_the_other_are_one_stream(tmp_path: Path, compress: object) -> None:
    path = tmp_path / ("a.jsonl.gz" if compress is gzip.compress else "a.jsonl.zst")
    path.write_bytes(compress(LINES[:1000]) + compress(b"") + compress(LINES[1000:]))  # type: ignore[operator]
    assert read(path) == LINES.split()


@pytest.mark.parametrize("suffix", ["gz", "zst"])
@pytest.mark.parametrize("kept", [0.5, 0.999])
def test_all_that_can_be_read_before_a_break_is_read_and_then_the_break_is_told(
    tmp_path: Path, suffix: str, kept: float
) -> None:
    whole = gzip.compress(LINES) if suffix == "gz" else zstandard.compress(LINES)
    path = tmp_path / f"a.jsonl.{suffix}"
    path.write_bytes(whole[: int(len(whole) * kept)])
    found = []
    with pytest.raises(DAMAGE), open_part(find_parts(str(path))[0], 0, BOUNDS) as stream:
        found.extend(iter_lines(stream, 0, None, 1 << 24, Progress()))  # keeps what came before the error
    # A zstd block is 128 KiB, lost whole when it is cut; a deflate stream can be read to within its last bytes.
    lost = len(LINES) * kept - sum(len(record.raw) + 1 for record in found)
    assert lost < (200_000 if suffix == "zst" else 20_000)
    assert [record.raw for record in found] == LINES.split()[: len(found)]


def test_garbage_after_a_compressed_stream_is_damage(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(LINES) + b"garbage")
    with pytest.raises(DAMAGE):
        read(tmp_path)


def test_a_zip_gives_its_record_members_in_natural_order(tmp_path: Path) -> None:
    members = {f"1/p_{n}#0.json.gz": gzip.compress(b"%d" % n) for n in (10, 9, 1)}  # each without a last newline
    others = {"readme.txt": b"no", "1/p_2_complete": b"", "__MACOSX/._p.jsonl": b"no", "inner.zip": b"no", "d/": b""}
    path = write_zip(tmp_path / "a.zip", members | others)
    assert names(path) == ["a.zip!1/p_1#0.json.gz", "a.zip!1/p_9#0.json.gz", "a.zip!1/p_10#0.json.gz"]
    assert read(path) == [b"1", b"9", b"10"]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_zip_member_is_damage_by_any_method(tmp_path: Path, method: int) -> None:
    path = write_zip(tmp_path / "a.zip", {"a.jsonl": LINES}, method)
    assert len(read(path)) == 20_000
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2] = b"\xaa\x55"
    path.write_bytes(data)
    with pytest.raises(DAMAGE):
        read(path)


def test_names_that_point_elsewhere_are_only_names(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    path = write_zip(inside / "a.zip", {"../../x.jsonl": b"1", "/abs.jsonl": b"2", "C:\\y.jsonl": b"3"})
    assert sorted(read(path)) == [b"1", b"2", b"3"]
    assert [p.name for p in tmp_path.rglob("*")] == ["inside", "a.zip"]


def test_a_zip_with_two_members_of_one_name_is_refused(tmp_path: Path) -> None:
    with warnings.catch_warnings(), zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("a.jsonl", b"1")
        archive.writestr("a.jsonl", b"2")
    with pytest.raises(ExportError, match=r"two members named 'a\.jsonl'"):
        find_parts(str(tmp_path))


@pytest.mark.parametrize(("at", "value", "sentence"), [(8, 1, "encrypted"), (10, 97, "unknown method 97")])
def test_a_member_that_cannot_be_opened_is_refused_by_name(tmp_path: Path, at: int, value: int, sentence: str) -> None:
    path = write_zip(tmp_path / "a.zip", {"a.jsonl": LINES})
    data = bytearray(path.read_bytes())
    data[data.find(b"PK\x01\x02") + at] = value
    path.write_bytes(data)
    with pytest.raises(ExportError, match=rf"a\.zip!a\.jsonl: .*{sentence}"):
        find_parts(str(path))


def test_a_mutated_zip_is_read_refused_or_damaged_and_nothing_else_happens(tmp_path: Path) -> None:
    members = {"a.jsonl": b'{"i":1}\n' * 10, "b.json.gz": gzip.compress(b"[1,2]")}
    whole = write_zip(tmp_path / "a.zip", members).read_bytes()
    for seed in range(400):
        draw = random.Random(seed)
        data = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        (tmp_path / "a.zip").write_bytes(data[: draw.choice([len(data), draw.randrange(len(data))])])
        try:
            read(tmp_path / "a.zip")
        except (*DAMAGE, ExportError):
            continue


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_bomb_is_refused_before_it_fills_anything(tmp_path: Path, suffix: str) -> None:
    made = io.BytesIO()
    zeros = bytes(1 << 20)
    with (
        gzip.GzipFile(fileobj=made, mode="wb") if suffix == "gz" else zstandard.open(made, "wb", closefd=False) as file
    ):
        for _ in range(100):
            file.write(zeros)
    (tmp_path / f"a.jsonl.{suffix}").write_bytes(made.getvalue())
    with pytest.raises(ExportError, match=r"a\.jsonl.*refused as a bomb"):
        read(tmp_path, Bounds(max_ratio=100, max_member_bytes=1 << 40))
    with pytest.raises(ExportError, match="refused as a bomb"):
        read(tmp_path, Bounds(max_ratio=1e9, max_member_bytes=10 << 20))


def test_a_folder_gives_its_record_files_in_natural_order_and_no_side_files(tmp_path: Path) -> None:
    touch(tmp_path, "p10.jsonl", "p9.jsonl", "sub/p1.json", "p02.ndjson", "²1.jsonl")
    touch(tmp_path, "server_health_report.json", "sub/report.json", "p9.answers.json", "_complete", "notes.txt")
    touch(tmp_path, ".hidden.jsonl", ".hindcast/staging/segment-00000.rejects.jsonl", "sub/.git/x.json")
    assert names(tmp_path) == ["p02.ndjson", "p9.jsonl", "p10.jsonl", "sub/p1.json", "²1.jsonl"]


def test_a_file_that_is_named_is_read_wherever_it_lies(tmp_path: Path) -> None:
    touch(tmp_path, ".hidden/report.json")
    assert names(tmp_path / ".hidden" / "report.json") == ["report.json"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("abc/y/*.jsonl", ["y/1.jsonl", "y/2.jsonl"]),
        ("./abc/y/*.jsonl", ["y/1.jsonl", "y/2.jsonl"]),
        ("abc//y/[2-9].*", ["y/2.jsonl"]),
        ("**/1.jsonl", ["abc/y/1.jsonl"]),
        ("a?c/*/1*", ["abc/y/1.jsonl"]),
    ],
)
def test_a_glob_gives_what_it_matches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, found: list[str]
) -> None:
    touch(tmp_path, "abc/y/1.jsonl", "abc/y/2.jsonl", "abc/y/2.txt")
    monkeypatch.chdir(tmp_path)
    assert names(pattern) == found


@pytest.mark.parametrize("file", ["absent.jsonl", "empty", "*.jsonl", "notes.txt", "s.zip"])
def test_where_there_is_nothing_to_read_the_place_is_named(tmp_path: Path, file: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no")
    (tmp_path / "s.zip").write_bytes(b"PK no zip")
    with pytest.raises(ExportError, match=file.replace("*", r"\*")):
        find_parts(str(tmp_path / file))


def test_a_file_name_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.jsonl")).write_bytes(b"{}")
    with pytest.raises(ExportError, match="not UTF-8"):
        find_parts(str(tmp_path))


def test_only_a_json_file_that_begins_with_a_bracket_is_an_array(tmp_path: Path) -> None:
    contents = {
        "a.json": b"\xef\xbb\xbf \n[1]",
        "b.json": b"{}",
        "c.jsonl": b"[1]",
        "d.json.gz": gzip.compress(b" [1]"),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    write_zip(tmp_path / "z.zip", {"e.json": b"[1]", "f.json": b"1"})
    arrays = [part.name for part in find_parts(str(tmp_path)) if part.is_array]
    assert arrays == ["a.json", "d.json.gz", "z.zip!e.json"]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket in a real S3 server."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    s3_client.cache_clear()
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="exports")
    yield "exports"
    s3_client().close()
    s3_client.cache_clear()
    server.stop()


def put(bucket: str, **objects: bytes) -> None:
    for key, content in objects.items():
        s3_client().put_object(Bucket=bucket, Key=key, Body=content)


def test_an_s3_prefix_gives_its_objects_in_natural_order(bucket: str) -> None:
    put(
        bucket,
        **{"e/p_10.jsonl": b"10\n", "e/p_9.json.gz": gzip.compress(b"9"), "e/p_9_complete": b"", "f/x.jsonl": b"0"},
    )
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("m.jsonl", b"11")
    put(bucket, **{"e/z.zip": archive.getvalue(), "e/.tmp/x.jsonl": b"0"})
    parts = find_parts(f"s3://{bucket}/e/")
    assert [part.name for part in parts] == ["p_9.json.gz", "p_10.jsonl", "z.zip!m.jsonl"]
    assert parts[1].fingerprint.startswith("etag:")
    assert read(f"s3://{bucket}/e/") == [b"9", b"10", b"11"]


def test_an_s3_object_that_is_named_is_not_joined_by_those_whose_names_begin_the_same(bucket: str) -> None:
    put(bucket, **{"e/a.jsonl": b"1\n2\n", "e/a.jsonl.gz": gzip.compress(b"3")})
    assert names(f"s3://{bucket}/e/a.jsonl") == ["a.jsonl"]
    assert names(f"s3://{bucket}/e/a") == ["a.jsonl", "a.jsonl.gz"]


def test_an_s3_object_is_read_from_the_middle_by_a_range(bucket: str) -> None:
    put(bucket, **{"a.jsonl": LINES})
    (part,) = find_parts(f"s3://{bucket}/a.jsonl")
    with open_part(part, 35 * 100, BOUNDS) as stream:
        assert stream.read(35) == LINES[3500:3535]


def test_an_s3_bucket_that_is_not_there_is_named(bucket: str) -> None:
    with pytest.raises(ExportError, match=r"s3://absent/x: .*NoSuchBucket"):
        find_parts("s3://absent/x")
    with pytest.raises(ExportError, match=r"no .jsonl"):
        find_parts(f"s3://{bucket}/absent/")


def test_the_digest_of_a_member_changes_with_its_archive_and_its_content(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"a.jsonl": b"1"})
    (part,) = find_parts(str(path))
    assert part.fingerprint.endswith(f":crc32:{zlib.crc32(b'1'):08x}")
    write_zip(path, {"a.jsonl": b"1", "b.txt": b""})
    assert find_parts(str(path))[0].fingerprint != part.fingerprint
