"""Random columns that depend on nothing but (seed, block, stream), so any block can be made again alone.

Only raw words of Philox are used: numpy promises those across versions, not the values of its distributions.
"""

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Integers = NDArray[np.int64]
Fractions = NDArray[np.float64]
Texts = NDArray[np.object_]


def draw_words(seed: int, block: int, stream: int, shape: tuple[int, int]) -> Words:
    """Return independent uniform 64-bit words; streams of one block do not overlap."""
    source = np.random.Philox(
        counter=np.array([0, 0, 0, stream], dtype=np.uint64), key=np.array([seed, block], dtype=np.uint64)
    )
    return source.random_raw(shape[0] * shape[1]).reshape(shape)


def take_bits(words: Words, lowest: int, width: int) -> Integers:
    """Return `width` (under 63) bits of each word as a number; disjoint bits are independent."""
    return ((words >> np.uint64(lowest)) & np.uint64((1 << width) - 1)).astype(np.int64)


def as_fractions(words: Words) -> Fractions:
    """Map the upper 53 bits to [0, 1)."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def scramble(numbers: Integers, seed: int) -> Words:
    """Map record numbers to words that look random and never repeat (splitmix64 is a bijection)."""
    words = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def as_texts(texts: list[str]) -> Texts:
    """Make an array that can be indexed by a column."""
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    return array
