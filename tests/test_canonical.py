"""The canonical form of JSON values: pinned bytes, and what it is blind to."""

import json
import tracemalloc
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hindcast.canonical import MAX_DEPTH, check_depth, decode_value, encode_value, mark_unstorable
from hindcast.errors import RecordError

GOLDEN = {
    "null": "null",
    " [ ] ": "[]",
    "{}": "{}",
    '{"b":1,"a":2}': '{"a":2,"b":1}',
    '{"a":1,"a":2}': '{"a":2}',
    '{"B":1,"a":2,"A":3,"é":4}': '{"A":3,"B":1,"a":2,"é":4}',
    '{"z":{"b":[2,1],"a":null}}': '{"z":{"a":null,"b":[2,1]}}',
    '"\\u0041\\/\\n\\u00e9\\ud83d\\ude00"': '"A/\\né😀"',
    '"\\u007f\\u0001"': '"\x7f\\u0001"',
    "1": "1",
    "1.0": "1",
    "1e0": "1",
    "10E-1": "1",
    "-0": "0",
    "-0.0": "0",
    "0e10": "0",
    "0.1": "0.1",
    "1e-1": "0.1",
    "100e-3": "0.1",
    "1.50": "1.5",
    "1e3": "1000",
    "1e20": "100000000000000000000",
    "9007199254740993": "9007199254740993",
    "9007199254740993.0": "9007199254740993",
    "18446744073709551616": "18446744073709551616",
    "0.1000000000000000055511151231257827": "0.1000000000000000055511151231257827",
    "123456789012345678.5": "123456789012345678.5",
    "1e-400": "1E-400",
    "1.50e-400": "1.5E-400",
    "-2.5e-7": "-2.5e-7",
}
json_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | json_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(json_text, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(("text", "canonical"), GOLDEN.items())
def test_the_canonical_form_is_pinned_to_the_byte(text: str, canonical: str) -> None:
    assert encode_value(decode_value(text.encode())) == canonical.encode()


@given(json_values)
def test_the_canonical_form_of_the_canonical_form_is_itself(value: Any) -> None:
    once = encode_value(decode_value(json.dumps(value).encode()))
    assert encode_value(decode_value(once)) == once


@given(json_values)
def test_no_digit_and_no_character_is_lost(value: Any) -> None:
    text = json.dumps(value)
    canonical = encode_value(decode_value(text.encode()))
    assert json.loads(canonical, parse_float=Decimal) == json.loads(text, parse_float=Decimal)


@given(st.dictionaries(json_text, json_values), st.randoms())
def test_key_order_and_white_space_do_not_matter(value: dict[str, Any], random: Any) -> None:
    keys = list(value)
    random.shuffle(keys)
    other = json.dumps({key: value[key] for key in keys}, indent=1)
    assert encode_value(decode_value(other.encode())) == encode_value(decode_value(json.dumps(value).encode()))


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30))
def test_a_number_keeps_its_value_in_any_notation(number: Decimal) -> None:
    plain, scientific = f"{number:f}", f"{number:E}"
    canonical = encode_value(decode_value(plain.encode()))
    assert encode_value(decode_value(scientific.encode())) == canonical
    assert Decimal(canonical.decode()) == number


@pytest.mark.parametrize(
    "number", ["1e400", "-1e400", "9" * 4000, "1" + "0" * 3999, "0." + "1" * 3000, "1e3999", "1e-4000"]
)
def test_a_number_beyond_a_double_is_kept_exactly(number: str) -> None:
    assert Decimal(encode_value(decode_value(number.encode())).decode()) == Decimal(number)


@pytest.mark.parametrize(
    "number", ["1e4000", "1e4001", "1e-4001", "0e5000", "1e99999999999999999999", "1e-99999999999999999999", "9" * 4001]
)
def test_a_number_too_long_to_keep_is_refused(number: str) -> None:
    with pytest.raises(RecordError) as refused:
        decode_value(f'{{"a": [{number}]}}'.encode())
    assert refused.value.code == "number_out_of_range"


@pytest.mark.parametrize(
    ("source", "marked"),
    [
        (rb'"\u0000"', rb'"\\u0000"'),
        (rb'"\ud800"', rb'"\\ud800"'),
        (rb'"\uDFFFx"', rb'"\\uDFFFx"'),
        (rb'"\ud83d\ude00"', rb'"\ud83d\ude00"'),
        (rb'"\ude00\ud83d"', rb'"\\ude00\\ud83d"'),
        (rb'"\ud83d\ud83d\ude00"', rb'"\\ud83d\ud83d\ude00"'),
        (rb'"\\u0000"', rb'"\\u0000"'),
        (rb'"\\\u0000"', rb'"\\\\u0000"'),
        (rb'{"\u0000":"\u0001"}', rb'{"\\u0000":"\u0001"}'),
    ],
)
def test_what_postgres_cannot_hold_becomes_visible_text(source: bytes, marked: bytes) -> None:
    assert mark_unstorable(source) == (marked, marked != source)


def test_nesting_is_counted_outside_strings_only() -> None:
    check_depth(b"[" * MAX_DEPTH + b'"' + b"[" * 500 + rb"\"" + b"{" * 500 + b'"' + b"]" * MAX_DEPTH)
    check_depth(b"[" + b"[{}]," * 500 + b"0]")
    with pytest.raises(RecordError, match="deep"):
        check_depth(b'{"a":' * (MAX_DEPTH + 1))


def test_depth_of_a_long_string_is_checked_without_a_multiple_of_its_memory() -> None:
    text = b'["' + b"x" * 2_000_000 + b"[" * 200 + b'"]'
    tracemalloc.start()
    check_depth(text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * len(text) + 1_000_000


@given(st.integers(-4100, 4100), st.integers(0, 8200), st.integers(1, 9))
def test_a_number_that_is_kept_can_be_read_back_as_postgres_writes_it(exponent: int, digits: int, digit: int) -> None:
    try:
        canonical = encode_value(decode_value(f"{digit}.{str(digit) * digits}5e{exponent}".encode()))
    except RecordError:
        return
    written = f"{Decimal(canonical.decode()):f}"
    assert encode_value(decode_value(written.encode())) == canonical
