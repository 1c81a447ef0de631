"""Chunks known before the export is sealed: batches are those of the sealed manifest; none is waited for in vain."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from hindcast.ahead import ChunksAhead
from hindcast.manifest import deal_chunks, group_chunks, place_chunks
from hindcast.staging import Segment, StagedChunk


def make_segments(chunks: list[list[int]]) -> list[Segment]:
    """A segment of as many chunks as there are numbers, of as many records each."""
    segments = []
    for number, records in enumerate(chunks):
        segment = Segment(number, "history.jsonl", 1_000 * number)
        segment.lines = sum(records) + 1
        segment.chunks = [StagedChunk(records=count, staged=count, last_byte=10 * count) for count in records]
        segments.append(segment)
    return segments


@given(st.lists(st.lists(st.integers(1, 9), max_size=4), max_size=6), st.integers(1, 20), st.randoms())
def test_the_batches_are_those_of_the_sealed_manifest(chunks: list[list[int]], rows: int, random: object) -> None:
    segments = make_segments(chunks)
    ahead = ChunksAhead(len(segments))
    order = list(segments)
    random.shuffle(order)  # type: ignore[attr-defined]  # a random.Random
    adding = threading.Thread(target=lambda: [ahead.add(segment) for segment in order])
    adding.start()
    found = list(ahead.batches(rows, 10**9))
    adding.join()
    whole = list(place_chunks(segments))
    assert [tuple(chunk.number for chunk in batch) for batch in found] == group_chunks(whole, range(len(whole)), rows)
    assert [chunk for batch in found for chunk in batch] == whole


def test_a_batch_is_given_before_the_rest_is_staged() -> None:
    first, second, third = make_segments([[5, 5], [5], [5]])
    ahead = ChunksAhead(3)
    ahead.add(second)
    ahead.add(first)
    batches = ahead.batches(10, 10**9)
    assert [chunk.number for chunk in next(batches)] == [0, 1]
    ahead.add(third)
    assert [chunk.number for chunk in next(batches)] == [2, 3]


def test_when_staging_breaks_off_only_whole_batches_are_given() -> None:
    first, _, third = make_segments([[5, 5, 5], [5], [5]])
    ahead = ChunksAhead(3)
    ahead.add(first)
    ahead.add(third)
    ahead.end()
    assert [[chunk.number for chunk in batch] for batch in ahead.batches(10, 10**9)] == [[0, 1]]


def test_what_is_all_staged_is_given_whole_though_staging_ended_meanwhile() -> None:
    first, second = make_segments([[5, 5, 5], [5]])
    ahead = ChunksAhead(2)
    ahead.add(first)
    batches = ahead.batches(10, 10**9)
    assert [chunk.number for chunk in next(batches)] == [0, 1]
    ahead.add(second)
    ahead.end()
    assert [[chunk.number for chunk in batch] for batch in batches] == [[2, 3]]


@given(st.lists(st.integers(1, 4), max_size=9), st.integers(1, 4))
def test_chunks_are_dealt_to_the_calls_that_run_at_once(sizes: list[int], hands: int) -> None:
    numbers = iter(range(sum(sizes)))
    groups = [tuple(next(numbers) for _ in range(size)) for size in sizes]
    dealt = deal_chunks(groups, hands)
    assert len(dealt) == len(groups) and all(dealt)
    assert sorted(n for group in dealt for n in group) == list(range(sum(sizes)))
    assert all(list(group) == sorted(group) for group in dealt)
    for first in range(0, len(groups), hands):  # each so many calls have what so many groups had
        begun, had = dealt[first : first + hands], [n for group in groups[first : first + hands] for n in group]
        assert sorted(n for group in begun for n in group) == had
        assert max(group[0] for group in begun) - min(group[0] for group in begun) == len(begun) - 1
