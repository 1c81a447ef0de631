"""Cutting streams into records: the same records whatever the sizes of blocks and segments."""

import io
import json
import tracemalloc
from collections.abc import Iterator
from typing import BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hindcast import records
from hindcast.array_records import iter_array
from hindcast.records import Progress, RawRecord, iter_lines

LIMIT = 1 << 24
pieces = st.lists(
    st.sampled_from([b"{}", b'{"a":1}', b"", b" ", b"\t", b"x" * 40, b"\xff", b"\xef\xbb\xbf"]), max_size=12
)
ends = st.sampled_from([b"\n", b"\r\n"])


class Generated:
    """A stream that is made as it is read, so that a test's own memory is not measured."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks

    def read(self, size: int) -> bytes:
        return next(self._blocks, b"")


def read_lines(data: bytes, max_bytes: int = LIMIT) -> list[RawRecord]:
    return list(iter_lines(io.BytesIO(data), 0, None, max_bytes, Progress()))


def read_segments(data: bytes, size: int, max_bytes: int = LIMIT) -> list[tuple[int, int, bytes]]:
    found = []
    lines = 0
    for start in range(0, len(data), size):
        stream = io.BytesIO(data)
        stream.seek(max(start - 1, 0))
        progress = Progress()
        cut = iter_lines(stream, start, min(start + size, len(data)), max_bytes, progress)
        found.extend((lines + record.number, record.offset, record.raw) for record in cut)
        lines += progress.lines
    return found


def read_array(data: bytes, max_bytes: int = LIMIT) -> list[RawRecord]:
    return list(iter_array(io.BytesIO(data), max_bytes, Progress()))


def codes(found: list[RawRecord]) -> list[str | None]:
    return [record.fault.code if record.fault else None for record in found]


def test_lines_are_numbered_physically_and_blank_ones_are_no_records() -> None:
    data = b'\xef\xbb\xbf{}\r\n\r\n \t \n{"a":1}\n\n[1]'
    assert [(r.number, r.offset, r.raw) for r in read_lines(data)] == [
        (1, 0, b"{}"),
        (4, 13, b'{"a":1}'),
        (6, 22, b"[1]"),
    ]


@pytest.mark.parametrize("data", [b"", b"\n", b"\r\n\r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n", b"  "])
def test_an_empty_file_holds_no_records(data: bytes) -> None:
    assert read_lines(data) == []


def test_a_byte_order_mark_counts_only_at_the_beginning_of_the_file() -> None:
    assert [r.raw for r in read_lines(b"\xef\xbb\xbf1\n\xef\xbb\xbf2")] == [b"1", b"\xef\xbb\xbf2"]


@given(pieces, ends, st.booleans(), st.integers(1, 70))
def test_segments_of_any_size_hold_the_records_of_the_whole(
    parts: list[bytes], end: bytes, has_last_end: bool, size: int
) -> None:
    data = end.join(parts) + (end if has_last_end else b"")
    whole = [(r.number, r.offset, r.raw) for r in read_lines(data)]
    assert read_segments(data, size) == whole


@given(pieces, st.integers(1, 9), st.integers(4, 60))
def test_blocks_of_any_size_hold_the_same_records(parts: list[bytes], block: int, max_bytes: int) -> None:
    data = b"\n".join(parts)
    whole = read_lines(data, max_bytes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "BLOCK_BYTES", block)
        small = read_lines(data, max_bytes)
    assert [(r.number, r.offset) for r in small] == [(r.number, r.offset) for r in whole]
    assert codes(small) == codes(whole)


def test_a_line_at_the_limit_is_read_and_one_byte_more_is_not() -> None:
    found = read_lines(b"12345678\n123456789\n12345678\r\n1", max_bytes=8)
    assert codes(found) == [None, "line_too_long", "line_too_long", None]
    assert read_lines(b"12345678", max_bytes=8)[0].fault is None


def test_a_line_of_forty_megabytes_is_never_held_whole() -> None:
    blocks = [b'{"a":"', *([b"x" * (1 << 20)] * 40), b'"}\n{}\n']
    tracemalloc.start()
    stream = cast(BinaryIO, Generated(iter(blocks)))
    found = list(iter_lines(stream, 0, None, 4 << 20, Progress()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert codes(found) == ["line_too_long", None]
    assert found[1].raw == b"{}"
    assert "41,943,049 bytes" in str(found[0].fault)
    assert peak < 16 << 20


@given(st.lists(st.recursive(st.text() | st.integers() | st.none(), st.lists, max_leaves=5)), st.integers(1, 9))
def test_the_elements_of_an_array_are_its_records(values: list[object], block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "BLOCK_BYTES", block)
        found = read_array(json.dumps(values, ensure_ascii=False).encode())
    assert codes(found) == [None] * len(values)
    assert [json.loads(record.raw) for record in found] == values


def test_an_element_knows_its_first_byte() -> None:
    data = b'\xef\xbb\xbf [ {"a":"],["} ,\n  [1, 2],3 ] \n'
    found = read_array(data)
    assert [record.raw for record in found] == [b'{"a":"],["}', b"[1, 2]", b"3"]
    assert [data[r.offset : r.offset + len(r.raw)] for r in found] == [record.raw for record in found]
    assert [record.number for record in found] == [1, 2, 3]


@pytest.mark.parametrize("data", [b"[]", b" [ ] ", b"[\n]\n", b"\xef\xbb\xbf[]"])
def test_an_empty_array_holds_no_records(data: bytes) -> None:
    assert read_array(data) == []


@pytest.mark.parametrize(
    ("data", "raws", "faults"),
    [
        (b"[1,2", [b"1", b"2"], [None, "malformed_json"]),
        (b"[1,", [b"1", b""], [None, "malformed_json"]),
        (b"[", [b""], ["malformed_json"]),
        (b'[1,"unclosed,2]', [b"1", b'"unclosed,2]'], [None, "malformed_json"]),
        (b"[1,{2]", [b"1", b"{2]"], [None, "malformed_json"]),
        (b"[1}, 2]", [b"1}", b"2"], [None, None]),
        (b"[1, 2}", [b"1", b" 2}"], [None, "malformed_json"]),
        (b"[1],2", [b"1", b",2"], [None, "malformed_json"]),
        (b"[1][2]", [b"1", b"[2]"], [None, "malformed_json"]),
        (b"[1,]", [b"1", b""], [None, None]),
        (b"[,1]", [b"", b"1"], [None, None]),
    ],
)
def test_what_is_broken_in_an_array_is_a_record_of_its_own(
    data: bytes, raws: list[bytes], faults: list[str | None]
) -> None:
    found = read_array(data)
    assert [record.raw for record in found] == raws
    assert codes(found) == faults


@pytest.mark.parametrize("block", [4, 5, 7, 64])
def test_an_oversize_element_does_not_hide_the_ones_after_it(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "BLOCK_BYTES", block)
    data = b'[{"a":"' + b'x],\\"[' * 20 + b'"}, 12345678, [1,[2,3,4]], "123456789", 5]'
    found = read_array(data, max_bytes=8)
    assert codes(found) == ["line_too_long", None, "line_too_long", "line_too_long", None]
    assert [found[1].raw, found[4].raw] == [b"12345678", b"5"]
    assert [r.offset for r in found] == [1, 131, 141, 154, 167]


def test_an_array_element_of_forty_megabytes_is_never_held_whole() -> None:
    blocks = [b'[{"a":"', *([b"x" * (1 << 20)] * 40), b'"}, {}]']
    tracemalloc.start()
    found = list(iter_array(cast(BinaryIO, Generated(iter(blocks))), 4 << 20, Progress()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert codes(found) == ["line_too_long", None]
    assert peak < 20 << 20
